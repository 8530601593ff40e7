"""The master that a Sentinel watches dies in mid-work: memory, broker and results lie on it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.resp import RespConnection
from sandbox.stack import GriotStack
from sandbox.valkey import HOST, ValkeyServer, valkey_binary
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.waiting import wait_until

MASTER = "griot"
SESSIONS, JOBS = 10, 6

# A process of its own: the producer in this one knows one address for all tests.
CLIENT = """
import json, sys
from memory import get_redis_memory
from tasks import chat_task
sessions, jobs = sys.argv[2:], int(sys.argv[1])
sent = [
    chat_task.delay("energy", session, f"no. {number}", model="delay:300ms")
    for number in range(jobs) for session in sessions
]
print("sent", flush=True)
history = get_redis_memory().get_conversation_history
for job in sent:
    job.get(timeout=60)
asked = [[m["content"] for m in history("energy", s) if m["role"] == "user"] for s in sessions]
chat_task.delay("energy", sessions[0], "and now?").get(timeout=20)
print(json.dumps(asked))
"""


@pytest.fixture
def master() -> Iterator[ValkeyServer]:
    """The server that dies."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def sentinel_port(master: ValkeyServer, tmp_path: Path) -> Iterator[int]:
    """A Sentinel that watches the server and knows its replica."""
    port, conf = free_port(), tmp_path / "sentinel.conf"
    conf.write_text(
        f"bind {HOST}\nport {port}\ndir {tmp_path}\n"
        f"sentinel monitor {MASTER} {HOST} {master.port} 1\n"
        f"sentinel down-after-milliseconds {MASTER} 500\n"
        f"sentinel failover-timeout {MASTER} 5000\n"
    )
    replication = {"replicaof": f"{HOST} {master.port}"}
    with (
        ValkeyServer(options=replication) as replica,
        ServerProcess((valkey_binary(), conf, "--sentinel"), log_path=tmp_path / "log") as process,
    ):
        wait_until(lambda: _link_is_up(replica), what="the replica is in step")
        process.wait_ready(lambda: _knows_replica(port), 20.0)
        yield port


def test_all_go_on_when_the_replica_has_taken_over(
    master: ValkeyServer, sentinel_port: int, tmp_path: Path
) -> None:
    """Every job is answered, in order, and its turn recorded once."""
    address = f"sentinel://{HOST}:{sentinel_port}"
    with (
        OllamaStandIn() as ollama,
        GriotStack(
            tmp_path,
            redis_url="",
            ollama_url=ollama.url,
            settings={
                **FAST,
                "REDIS_MODE": "sentinel",
                "REDIS_SENTINELS": f"{HOST}:{sentinel_port}",
                "REDIS_SENTINEL_MASTER": MASTER,
                "REDIS_TIMEOUT": f"{scaled(2):.1f}",
                "CELERY_BROKER_URL": f"{address}/1",
                "CELERY_RESULT_BACKEND": f"{address}/2",
            },
        ) as stack,
    ):
        worker = stack.worker()
        with subprocess.Popen(
            (sys.executable, "-c", CLIENT, str(JOBS), *(f"s{n}" for n in range(SESSIONS))),
            env=stack.env,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "sent\n"
            wait_until(lambda: ollama.stats.requests > SESSIONS, what="the second turns run")
            master.kill()
            shown, errors = client.communicate(timeout=scaled(90))
    assert client.returncode == 0, errors[-3000:] + worker.log_tail()
    assert json.loads(shown) == [[f"no. {number}" for number in range(JOBS)]] * SESSIONS


def _link_is_up(replica: ValkeyServer) -> bool:
    return "master_link_status:up" in str(replica.command("INFO", "replication"))


def _knows_replica(port: int) -> bool:
    try:
        with RespConnection(port) as connection:
            return "slaves=1" in str(connection.command("INFO", "sentinel"))
    except OSError:
        return False

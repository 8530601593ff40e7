"""A fail-over under load where servers and Sentinels have passwords of their own, and the Sentinels
speak TLS: three of them, a master that dies, a replica that takes over."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
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
from tests.support.tls_rig import Authority, TlsDoor
from tests.support.waiting import wait_until

MASTER = "griot"
OF_SERVERS, OF_SENTINELS = "servers-secret", "sentinels-secret"
SENTINELS, SESSIONS, JOBS = 3, 10, 6

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
replies = [job.get(timeout=90)["response"] for job in sent]
history = get_redis_memory().get_conversation_history
asked = [[m["content"] for m in history("energy", s) if m["role"] == "user"] for s in sessions]
chat_task.delay("energy", sessions[0], "and now?").get(timeout=30)
print(json.dumps([all(replies), asked]))
"""

pytestmark = pytest.mark.slow


@dataclass
class Watched:
    """A master with a replica, and where TLS leads to each of their Sentinels."""

    master: ValkeyServer
    doors: list[int]
    authority: Authority

    def settings(self) -> dict[str, str]:
        """What a deployment is told of it."""
        hosts = [f"localhost:{port}" for port in self.doors]
        login = f":{OF_SERVERS}@"
        address = [f"sentinel://{login}{host}" for host in hosts]
        return {
            "REDIS_MODE": "sentinel",
            "REDIS_URL": f"redis://{login}unused/0?ssl_ca_certs={self.authority.certificate}",
            "REDIS_SENTINELS": ",".join(hosts),
            "REDIS_SENTINEL_MASTER": MASTER,
            "REDIS_SENTINEL_PASSWORD": OF_SENTINELS,
            "REDIS_SENTINEL_TLS": "true",
            "REDIS_TIMEOUT": f"{scaled(2):.1f}",
            "CELERY_BROKER_URL": ";".join(f"{one}/1" for one in address),
            "CELERY_RESULT_BACKEND": ";".join(f"{one}/2" for one in address),
        }


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """All of it, in step."""
    logins = {"requirepass": OF_SERVERS, "masterauth": OF_SERVERS}
    authority = Authority(tmp_path, "trusted").create()
    context = authority.issue("localhost")
    with ExitStack() as running:
        master = running.enter_context(ValkeyServer(password=OF_SERVERS, options=logins))
        options = {**logins, "replicaof": f"{HOST} {master.port}"}
        replica = running.enter_context(ValkeyServer(password=OF_SERVERS, options=options))
        wait_until(
            lambda: "master_link_status:up" in str(replica.command("INFO", "replication")),
            what="the replica is in step",
        )
        ports = [_sentinel(running, tmp_path, number, master) for number in range(SENTINELS)]
        for port in ports:
            wait_until(lambda port=port: _knows_all(port), timeout_s=scaled(30), what="Sentinels")  # type: ignore[misc]  # bound now
        doors = [running.enter_context(TlsDoor(port, context)).port for port in ports]
        yield Watched(master, doors, authority)


def _sentinel(running: ExitStack, directory: Path, number: int, master: ValkeyServer) -> int:
    port, conf = free_port(), directory / f"sentinel{number}.conf"
    conf.write_text(
        f"bind {HOST}\nport {port}\ndir {directory}\nrequirepass {OF_SENTINELS}\n"
        f"sentinel sentinel-pass {OF_SENTINELS}\n"
        f"sentinel monitor {MASTER} {HOST} {master.port} 2\n"
        f"sentinel auth-pass {MASTER} {OF_SERVERS}\n"
        f"sentinel down-after-milliseconds {MASTER} 500\n"
        f"sentinel failover-timeout {MASTER} 5000\n"
    )
    command = (valkey_binary(), conf, "--sentinel")
    process = running.enter_context(
        ServerProcess(command, log_path=directory / f"sentinel{number}.log")
    )
    process.wait_ready(lambda: _info(port) != "", 20.0)
    return port


def _info(port: int) -> str:
    try:
        with RespConnection(port, password=OF_SENTINELS) as connection:
            return str(connection.command("INFO", "sentinel"))
    except OSError:
        return ""


def _knows_all(port: int) -> bool:
    return f"slaves=1,sentinels={SENTINELS}" in _info(port)


def test_all_go_on_after_a_fail_over_behind_passwords_and_tls(
    watched: Watched, tmp_path: Path
) -> None:
    """Every job is answered, in order, and its turn recorded once; nothing shows a password."""
    with (
        OllamaStandIn() as ollama,
        GriotStack(
            tmp_path,
            redis_url="",
            ollama_url=ollama.url,
            settings={**FAST, **watched.settings()},
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
            assert client.stdout.readline() == "sent\n", worker.log_tail()
            wait_until(lambda: ollama.stats.requests > SESSIONS, what="the second turns run")
            watched.master.kill()
            shown, errors = client.communicate(timeout=scaled(110))
        log = worker.log_text()
    assert client.returncode == 0, errors[-3000:] + log[-3000:]
    are_answered, asked = json.loads(shown)
    assert are_answered
    assert asked == [[f"no. {number}" for number in range(JOBS)]] * SESSIONS
    assert OF_SERVERS not in log
    assert OF_SENTINELS not in log


def test_a_wrong_password_of_the_sentinels_is_named(watched: Watched, tmp_path: Path) -> None:
    """By `griot check`, which shows neither."""
    settings = {**watched.settings(), "REDIS_SENTINEL_PASSWORD": "wrong-secret"}
    stack = GriotStack(
        tmp_path, redis_url="", ollama_url="http://127.0.0.1:1", settings={**FAST, **settings}
    )
    done = subprocess.run(
        (sys.executable, "-m", "worker.cli", "check"), env=stack.env, cwd=tmp_path,
        capture_output=True, text=True, timeout=scaled(90), check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "REDIS_SENTINEL_PASSWORD" in done.stdout, done.stdout
    assert not any(one in done.stdout + done.stderr for one in ("wrong-secret", OF_SERVERS))

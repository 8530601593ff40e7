"""The master that a Sentinel watches dies in mid-work: memory, broker and results lie on it."""

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
from tests.support.faults.failover import assert_all_is_answered
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import warm

MASTER = "griot"

pytestmark = pytest.mark.slow


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
            starter=warm,
        ) as stack,
    ):
        assert_all_is_answered(stack, ollama, sessions=10, jobs=6, kill=master.kill)


def _link_is_up(replica: ValkeyServer) -> bool:
    return "master_link_status:up" in str(replica.command("INFO", "replication"))


def _knows_replica(port: int) -> bool:
    try:
        with RespConnection(port) as connection:
            return "slaves=1" in str(connection.command("INFO", "sentinel"))
    except OSError:
        return False

"""The documented service with Sentinels that know where the master is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory import Command, MemorySettings, MemoryUnavailable, RedisMemoryService
from memory.redis.async_connection import AsyncConnection
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.resp import RespConnection
from sandbox.valkey import HOST, ValkeyServer, valkey_binary
from tests.support.waiting import eventually, wait_until

MESSAGE = {"role": "user", "content": "x"}
MASTER = "griot"


@pytest.fixture
def sentinel_port(tmp_path: Path) -> Iterator[int]:
    """A Sentinel that watches one server."""
    port, conf = free_port(), tmp_path / "sentinel.conf"
    with ValkeyServer() as server:
        conf.write_text(
            f"bind {HOST}\nport {port}\ndir {tmp_path}\n"
            f"sentinel monitor {MASTER} {HOST} {server.port} 1\n"
        )
        command = (valkey_binary(), conf, "--sentinel")
        with ServerProcess(command, log_path=tmp_path / "log") as process:
            process.wait_ready(lambda: _answers(port))
            yield port


def _answers(port: int) -> bool:
    try:
        with RespConnection(port) as connection:
            return connection.command("PING") == "PONG"
    except OSError:
        return False


def test_the_master_is_found_through_a_sentinel(sentinel_port: int) -> None:
    """One Sentinel that is down does not matter."""
    settings = MemorySettings(
        url=None,
        mode="sentinel",
        sentinels=("127.0.0.1:1", f"{HOST}:{sentinel_port}"),
        sentinel_master=MASTER,
    )
    with RedisMemoryService(settings=settings) as service:
        wait_until(service.health_check, what="the Sentinel knows its master")
        service.append_to_history("a", "s", MESSAGE)
        assert service.get_conversation_history("a", "s") == [MESSAGE]
        service.close()
        assert service.get_all_sessions_for_agent("a") == ["s"]


async def test_the_master_that_a_sentinel_names_says_what_changes(sentinel_port: int) -> None:
    """Over a connection of its own."""
    settings = MemorySettings(
        url=None,
        mode="sentinel",
        sentinels=(f"{HOST}:{sentinel_port}",),
        sentinel_master=MASTER,
    )
    memory = AsyncConnection(settings)
    tracked = await memory.tracked()
    await tracked.read(Command(bool, ("EXISTS", "key")), ["key"])
    await memory.run(Command(bool, ("SET", "key", "x")))
    await eventually(lambda: tracked.changed == {"key"}, what="it says what changed")
    await tracked.aclose()
    await memory.aclose()


def test_a_master_that_no_sentinel_knows_is_unavailable(sentinel_port: int) -> None:
    """The message names it."""
    settings = MemorySettings(
        url=None,
        mode="sentinel",
        sentinels=(f"{HOST}:{sentinel_port}",),
        sentinel_master="nobody",
        timeout_s=1,
    )
    with RedisMemoryService(settings=settings) as service:
        assert service.health_check() is False
        with pytest.raises(MemoryUnavailable, match="nobody"):
            service.get_agent_state("a")

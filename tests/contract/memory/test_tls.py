"""`rediss://`: the certificate and the host's name are verified."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from pydantic import SecretStr

from memory import Command, MemoryRefused, MemoryServiceError, MemorySettings, RedisMemoryService
from memory.redis.async_connection import AsyncConnection
from sandbox.valkey import ValkeyServer
from tests.support.servers.tls_rig import Authority, TlsDoor
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")
MESSAGE = {"role": "user", "content": "x"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The one that the clients trust."""
    return Authority(tmp_path_factory.mktemp("tls"), "ca").create()


@pytest.fixture(scope="module")
def plain_port() -> Iterator[int]:
    """A server without TLS."""
    with ValkeyServer() as server:
        yield server.port


def _service(port: int, trusted: Path | None, *, timeout_s: float = 5) -> RedisMemoryService:
    trust = f"?ssl_ca_certs={trusted}" if trusted is not None else ""
    url = SecretStr(f"rediss://localhost:{port}/0{trust}")
    return RedisMemoryService(settings=MemorySettings(url=url, timeout_s=timeout_s))


def test_a_trusted_server_is_used(authority: Authority, plain_port: int) -> None:
    """Certificate of a known authority, for this host, in date."""
    with (
        TlsDoor(plain_port, authority.issue("localhost")) as door,
        _service(door.port, authority.certificate) as service,
    ):
        assert service.health_check() is True
        service.append_to_history("a", "tls", MESSAGE)
        assert service.get_conversation_history("a", "tls") == [MESSAGE]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_trusted_server_says_what_changes(
    authority: Authority, plain_port: int, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """What it says by itself comes through TLS, too, and may be held up."""

    async def hear(url: SecretStr) -> None:
        memory = AsyncConnection(MemorySettings(url=url))
        tracked = await memory.tracked()
        await tracked.read(Command(bool, ("EXISTS", "tls")), ["tls"])
        tracked.hold()
        await memory.run(Command(bool, ("SET", "tls", "x")))
        tracked.let_go()
        await eventually(lambda: tracked.changed == {"tls"}, what="it says what changed")
        await tracked.aclose()
        await memory.aclose()

    with (
        TlsDoor(plain_port, authority.issue("localhost")) as door,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        trust = f"ssl_ca_certs={authority.certificate}"
        runner.run(hear(SecretStr(f"rediss://localhost:{door.port}/0?{trust}")))


@pytest.mark.parametrize(
    ("host", "days", "is_trusted"),
    [("other.example", 2, True), ("localhost", -1, True), ("localhost", 2, False)],
    ids=["another host", "expired", "unknown authority"],
)
def test_a_server_that_cannot_prove_itself_is_refused(
    authority: Authority, plain_port: int, host: str, days: int, is_trusted: bool
) -> None:
    """Nothing is sent to it, no password either."""
    trusted = authority.certificate if is_trusted else None
    with (
        TlsDoor(plain_port, authority.issue(host, days=days)) as door,
        _service(door.port, trusted) as service,
    ):
        assert service.health_check() is False
        with pytest.raises(MemoryRefused, match="certificate"):
            service.get_agent_state("a")


def test_a_plain_server_is_refused(authority: Authority, plain_port: int) -> None:
    """`rediss://` never falls back to plain text."""
    with _service(plain_port, authority.certificate, timeout_s=0.3) as service:
        assert service.health_check() is False
        with pytest.raises(MemoryServiceError):
            service.get_agent_state("a")

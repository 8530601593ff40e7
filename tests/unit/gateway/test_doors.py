"""Where the gateway listens, and by which names it is asked."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest
from starlette.types import Message

from gateway.app import create_app
from gateway.doors.answers import KEEP_ALIVE, EventStream
from gateway.settings import GatewaySettings


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/v1/models", 400)])
async def test_only_health_answers_by_any_name(path: str, status: int) -> None:
    """A container's check asks by address, whatever GATEWAY_HOSTS says."""
    app = create_app(GatewaySettings(hosts="chat.example"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7:8080") as client:
        assert (await client.get(path)).status_code == status


def test_a_service_called_gateway_beside_it_says_nothing_of_its_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kubernetes and Docker set its address for all its neighbours."""
    monkeypatch.setenv("GATEWAY_PORT", "tcp://10.96.0.9:80")
    assert GatewaySettings().port == 8080


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("[::1]", "http://[::1]:8080"),
    ],
)
def test_its_address_is_one_that_a_client_takes(host: str, address: str) -> None:
    """IPv6 in brackets, however it is given."""
    assert GatewaySettings(host=host).address == address


async def test_a_silent_stream_has_comments_until_something_comes() -> None:
    """So that no proxy takes it for dead; what comes is sent as it is, and ends it."""
    sent: list[bytes] = []
    silent = asyncio.Event()

    async def pieces() -> AsyncGenerator[bytes, None]:
        await silent.wait()
        yield b"data: 1\n\n"

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if sent.count(KEEP_ALIVE) == 2:
            silent.set()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nobody leaves")

    stream = EventStream(pieces(), keep_alive_s=0.01)
    await stream({"type": "http"}, receive, send)
    assert sent[-2:] == [b"data: 1\n\n", b""]
    assert KEEP_ALIVE in sent

"""How long the server of a gateway bears with a client."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.server import ServerState

from gateway.server import Configuration, PatientProtocol
from gateway.settings import GatewaySettings


async def protocol() -> tuple[PatientProtocol, Mock]:
    """A connection whose client may take its time for a moment only, and its transport."""
    config = Configuration(GatewaySettings(body_s=0.01))
    config.load()
    kind = config.http_protocol_class
    made = kind(config, ServerState(), {}, asyncio.get_running_loop())  # type: ignore[call-arg]  # uvicorn's own
    transport = Mock(spec=asyncio.Transport)
    transport.get_extra_info.return_value = None
    transport.is_closing.return_value = False
    made.connection_made(transport)
    assert isinstance(made, PatientProtocol)
    return made, transport


async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off() -> None:
    """Not closed: a closed connection lives on until everything is taken."""
    made, transport = await protocol()
    cut = asyncio.Event()
    transport.abort.side_effect = cut.set
    made.pause_writing()
    await asyncio.wait_for(cut.wait(), 10)


async def test_a_client_that_takes_its_answer_in_time_stays() -> None:
    """The clock stops with it, and when the connection is lost."""
    made, transport = await protocol()
    made.pause_writing()
    made.resume_writing()
    made.pause_writing()
    made.connection_lost(ConnectionResetError())
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, later.set)
    await later.wait()
    transport.abort.assert_not_called()


async def test_an_idle_connection_is_cut_off_with_what_was_not_taken() -> None:
    """Its place is free at once."""
    made, transport = await protocol()
    made.timeout_keep_alive_handler()
    transport.abort.assert_called_once_with()


@pytest.mark.parametrize(
    ("proxies", "seen"),
    [
        ("127.0.0.1", ("https", "203.0.113.7")),
        ("203.0.113.1,10.0.0.0/8", ("http", "127.0.0.1")),
        ("", ("http", "127.0.0.1")),
    ],
)
async def test_forwarded_headers_are_believed_of_the_set_proxies_only(
    proxies: str, seen: tuple[str, str]
) -> None:
    """Anybody else may send them too."""
    config = Configuration(GatewaySettings(proxies=proxies))
    config.load()
    inner = AsyncMock()
    served: Any = config.loaded_app
    if proxies:
        served.app = inner
    else:
        assert not isinstance(served, ProxyHeadersMiddleware)
        served = inner
    scope = {
        "type": "http",
        "scheme": "http",
        "client": ("127.0.0.1", 4000),
        "headers": [(b"x-forwarded-proto", b"https"), (b"x-forwarded-for", b"203.0.113.7")],
    }
    await served(scope, AsyncMock(), AsyncMock())
    passed = inner.await_args.args[0]
    assert (passed["scheme"], passed["client"][0]) == seen

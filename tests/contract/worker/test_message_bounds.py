"""How large and how deep a message may be before anything decodes it, on a real server."""

# mypy: allow-untyped-calls
# Kombu says it is typed, but much of it is not.

import base64
import logging
from collections.abc import Iterator

import pytest
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer

from sandbox.valkey import ValkeyServer
from tests.support.faults.celery_messages import element
from tests.support.waiting import wait_until
from worker.broker import transport
from worker.broker.broadcasts import BroadcastChannel
from worker.broker.messages import MAX_LEVELS

QUEUE = "jobs"
MOST_BYTES = 2000
OPTIONS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
DEEP = b"[" * (MAX_LEVELS + 1) + b"]" * (MAX_LEVELS + 1)
OVER = f"over {MOST_BYTES} bytes, see CHAT_MAX_ENVELOPE_BYTES"
NESTED = f"nested deeper than {MAX_LEVELS} levels"
# All of them could be decoded, so that nothing but the bound sets them aside.
TOO_MUCH: dict[str, tuple[bytes, str]] = {
    "large": (element("echo", "x" * MOST_BYTES), OVER),
    "deep": (element("echo", "x")[:-1] + b', "more": ' + DEEP + b"}", NESTED),
    "of a deep body": (element("echo", body=base64.b64encode(DEEP).decode()), NESTED),
}

transport.register_transport()


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """One server for all of this file."""
    with ValkeyServer() as running:
        yield running


@pytest.fixture
def connection(server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A connection to the server, which is empty, of a process that takes small messages."""
    monkeypatch.setattr(transport.Channel, "most_bytes", MOST_BYTES)
    server.command("FLUSHALL")
    with Connection(server.url(), transport_options=OPTIONS) as opened:
        yield opened


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_what_is_too_much_for_a_message_is_set_aside(
    server: ValkeyServer, connection: Connection, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No consumer sees it; the log says which bound it was."""
    got: list[object] = []
    packed, why = TOO_MUCH[kind]
    with Consumer(connection, [Queue(QUEUE)], on_message=got.append):
        server.command("LPUSH", QUEUE, packed)
        server.command("LPUSH", QUEUE, element("echo", "good"))

        def is_over() -> bool:
            connection.drain_events(timeout=5)
            return bool(got)

        wait_until(is_over, what="the good message is delivered")
    assert len(got) == 1
    assert server.command("LLEN", QUEUE + transport.QUARANTINE_SUFFIX) == 1
    assert why in caplog.text


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_such_a_broadcast_is_ignored(
    connection: Connection, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody gets it."""
    got: list[object] = []
    packed, why = TOO_MUCH[kind]
    channel = connection.channel()
    channel._fanout_to_queue["all"] = QUEUE
    channel.basic_consume(QUEUE, True, got.append, "consumer")
    with caplog.at_level(logging.WARNING):
        assert channel._take_broadcast(element("echo", "good"), "all")
        assert not channel._take_broadcast(packed, "all")
    assert len(got) == 1
    assert f"a broadcast on 'all' is ignored ({why}" in caplog.text


def test_the_bound_holds_for_what_is_decompressed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 MB of a message may hold 2 GB."""
    bounds: list[int] = []
    monkeypatch.setattr(BroadcastChannel, "most_bytes", 0)
    monkeypatch.setattr(transport, "bound_decompression", bounds.append)
    transport.register_transport(MOST_BYTES)
    assert (transport.Channel.most_bytes, bounds) == (MOST_BYTES, [MOST_BYTES])

"""Ctrl-C, or a signal whose handler raises, in the middle of a question to Redis, and again."""

import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest
from redis.connection import Connection as RedisConnection

from memory import Connection, MemorySettings
from memory.redis import announced, endpoint, server_connections
from memory.redis.announced import Announcements
from memory.redis.command import Command
from sandbox.valkey import ValkeyServer
from tests.support.waiting import elapsed, wait_until

WORDS = "what nobody may read in a log"


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """One server for all of this file."""
    with ValkeyServer() as running:
        yield running


@pytest.fixture
def settings(server: ValkeyServer) -> MemorySettings:
    """Of a server that has two values."""
    for name in ("a", "b"):
        server.command("SET", name, name.upper())
    return MemorySettings(_env_file=None, url=server.url(), timeout_s=2.0)


def interrupt_twice(monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    """While the first reply is awaited, and while the connection is closed for that."""
    disconnect = RedisConnection.disconnect

    def again(*_: object) -> NoReturn:
        monkeypatch.setattr(RedisConnection, "disconnect", disconnect)
        raise KeyboardInterrupt

    def first(_: object) -> NoReturn:
        monkeypatch.undo()
        monkeypatch.setattr(RedisConnection, "disconnect", again)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "next_said", first)


def test_no_reply_becomes_another_callers(
    settings: MemorySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that nobody has read out is not used again."""
    connection = Connection(settings)

    def value(name: str) -> object:
        return connection.run(Command(lambda reply: reply, ("GET", name)))

    assert value("b") == b"B"
    interrupt_twice(monkeypatch, server_connections)
    with pytest.raises(KeyboardInterrupt):
        value("a")
    assert [value("b"), value("a")] == [b"B", b"A"]
    connection.close()


def test_no_result_becomes_another_jobs(
    settings: MemorySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for one that is announced looks for its own."""
    announcements = Announcements(settings, most=1)

    def value(name: bytes) -> bytes | None:
        return announcements.value(name, bytes, timeout_s=5)

    assert value(b"b") == b"B"
    interrupt_twice(monkeypatch, announced)
    with pytest.raises(KeyboardInterrupt):
        value(b"a")
    assert [value(b"b"), value(b"a")] == [b"B", b"A"]
    announcements.close()


def test_what_is_announced_too_late_is_not_logged(
    server: ValkeyServer,
    settings: MemorySettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither at DEBUG, where redis-py shows what a look at a connection's health reads."""
    monkeypatch.setattr(endpoint, "HEALTH_CHECK_INTERVAL_S", 0.01)
    announcements = Announcements(settings, most=1)
    with caplog.at_level(logging.DEBUG):
        assert announcements.value(b"late", bytes, timeout_s=0.01) is None
        server.command("PUBLISH", "late", WORDS)
        wait_until(elapsed(0.02), what="the connection has rested")
        assert announcements.value(b"never", bytes, timeout_s=0.01) is None
    assert WORDS not in caplog.text
    announcements.close()

"""What `sandbox.proxy` does to connections."""

import time
from collections.abc import Iterator

import pytest

from sandbox.proxy import Proxy
from sandbox.resp import RespConnection
from sandbox.valkey import ValkeyServer
from tests.support.machine import scaled
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """One server for all of this file."""
    with ValkeyServer() as running:
        yield running


@pytest.fixture
def proxy(server: ValkeyServer) -> Iterator[Proxy]:
    """A proxy in front of it."""
    with Proxy(server.port) as running:
        yield running


def test_it_forwards_both_ways(proxy: Proxy) -> None:
    """A megabyte comes back as it was sent."""
    body = "x" * 1_000_000
    with RespConnection(proxy.port) as connection:
        assert connection.command("ECHO", body) == body
        assert proxy.connections == 1

    wait_until(lambda: proxy.connections == 0, what="the closed connection is forgotten")


def test_latency_delays_each_direction(proxy: Proxy) -> None:
    """A round trip takes at least twice the latency, a large reply hardly longer."""
    proxy.latency_s = 0.05
    with RespConnection(proxy.port) as connection:
        started = time.monotonic()
        connection.command("ECHO", "x" * 1_000_000)
        assert 0.1 <= time.monotonic() - started < scaled(1)


def test_dropped_connections_are_reset_and_new_ones_work(proxy: Proxy) -> None:
    """`drop_connections` says how many it cut."""
    with RespConnection(proxy.port) as connection:
        connection.command("PING")
        assert proxy.drop_connections() == 1
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as the kernel likes
            connection.command("PING")
    with RespConnection(proxy.port) as connection:
        assert connection.command("PING") == "PONG"


def test_refusing_is_a_real_refusal(proxy: Proxy) -> None:
    """New connections get ECONNREFUSED until it forwards again, on the same port."""
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        RespConnection(proxy.port)
    proxy.forward()
    with RespConnection(proxy.port) as connection:
        assert connection.command("PING") == "PONG"


def test_a_black_hole_accepts_and_never_answers(proxy: Proxy) -> None:
    """Open connections fall silent too."""
    with (
        RespConnection(proxy.port, timeout_s=0.1) as before,
    ):
        before.command("PING")
        proxy.black_hole()
        with pytest.raises(TimeoutError):
            before.command("PING")
    with RespConnection(proxy.port, timeout_s=0.1) as after, pytest.raises(TimeoutError):
        after.command("PING")


def test_a_dead_target_looks_like_a_cut(server: ValkeyServer) -> None:
    """Where nobody listens behind it, a connection is closed at once."""
    with Proxy(1) as proxy, RespConnection(proxy.port) as connection, pytest.raises(OSError):  # noqa: PT011, PT012
        connection.command("PING")
        connection.command("PING")

"""The blocking connections: when a server closes them, and whose replies are whose."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from memory import MemoryBusy, MemorySettings, MemoryUnavailable
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import raw
from sandbox.valkey import ValkeyServer
from tests.support.waiting import wait_until


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server that this test may hurt."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def connection(server: ValkeyServer) -> Iterator[Connection]:
    """To that server."""
    made = Connection(MemorySettings(url=SecretStr(server.url(0)), timeout_s=1))
    yield made
    made.close()


def echo(text: str) -> Command[bytes]:
    """A command that is answered by its text."""
    return Command(raw, ("ECHO", text))


def kill_clients(server: ValkeyServer) -> None:
    """Have the server close all connections of ours."""
    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def connections(server: ValkeyServer) -> int:
    """How many the server has from us."""
    return str(server.command("CLIENT", "LIST")).count("name=griot")


def test_what_the_server_closed_meanwhile_is_opened_anew_at_once(
    server: ValkeyServer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a pause, as a server closes idle connections by its `timeout`."""
    assert connection.run(echo("a")) == b"a"
    monkeypatch.setattr(
        "memory.redis.connection.time.sleep", lambda _: pytest.fail("it has paused")
    )
    for text in ("b", "c"):
        kill_clients(server)
        assert connection.run_all(echo(text), echo("d")) == (text.encode(), b"d")


def test_each_of_many_threads_is_given_its_own_replies(
    server: ValkeyServer, connection: Connection
) -> None:
    """And what one has used, another uses after it."""
    at_once = threading.Barrier(8)

    def ask(number: int) -> None:
        at_once.wait()
        for turn in range(50):
            text = f"{number}:{turn}"
            assert connection.run_all(echo(text), echo("x")) == (text.encode(), b"x")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(8)))
    assert 1 <= connections(server) <= 8


def test_an_answer_that_comes_too_late_is_nobodys(
    server: ValkeyServer, connection: Connection
) -> None:
    """Its connection is closed."""
    connection.run(echo("a"))
    server.freeze()
    try:
        with pytest.raises(MemoryUnavailable):
            connection.run(echo("late"))
    finally:
        server.thaw()
    assert connection.run(echo("b")) == b"b"


def test_what_is_wrong_with_one_command_fails_that_one_alone(connection: Connection) -> None:
    """Its error is its reply; those behind it are read."""
    bad: Command[bytes] = Command(raw, ("GET",))
    assert connection.run_last(bad, echo("b")) == b"b"
    assert connection.run(echo("c")) == b"c"


def test_a_master_that_has_become_a_replica_is_left(
    server: ValkeyServer, connection: Connection
) -> None:
    """Whoever it is now is at the same address, or the Sentinels name it."""
    connection.run(echo("a"))
    before = str(server.command("INFO", "stats"))
    server.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(MemoryBusy):
        connection.run(Command(raw, ("SET", "k", "v")))
    assert _received(str(server.command("INFO", "stats"))) >= _received(before) + 3


def test_closing_leaves_none_open(server: ValkeyServer, connection: Connection) -> None:
    """Also where several were used; the next use opens one."""
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(connection.run, [echo("a")] * 40))
    connection.close()
    wait_until(lambda: connections(server) == 0, what="none is open")
    assert connection.run(echo("b")) == b"b"


def _received(stats: str) -> int:
    (line,) = [one for one in stats.splitlines() if one.startswith("total_connections_received:")]
    return int(line.partition(":")[2])

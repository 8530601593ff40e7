"""The blocking executor's connections to one server, or to the master that Sentinels name.

redis-py opens them (address, login, TLS, Sentinels), asks PING where one was idle for long, and has
a class for each error reply. What it does besides for each trip and for each reply, such as a look
whether the server has closed the connection, took a third of a job's sending.
"""

import time
from collections import deque
from collections.abc import Sequence
from typing import cast

import hiredis
from redis import Redis, exceptions
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.connection import Connection, ConnectionPool

from memory.redis.command import Argument
from memory.redis.replicas import OneWait

_OF_THE_SERVER = (exceptions.ConnectionError, exceptions.ReadOnlyError)
"""Error replies that are about the server, not about one command: it loads, or is no master now."""


class ServerConnections:
    """Sends what belongs together and reads its replies, from any thread: each has a connection of
    its own meanwhile. Not to be used after a fork."""

    def __init__(self, client: Redis) -> None:
        """`client` is one that never tries again by itself."""
        self._client = client
        self._pool: ConnectionPool = client.connection_pool
        self._idle: deque[Connection] = deque()

    def exchange(self, wires: Sequence[tuple[Argument, ...]]) -> list[object]:
        """One reply for each; an error reply is a value of the list. Raises what redis-py raises.

        All of it may be sent twice, on a connection that the server has closed meanwhile.
        """
        waiting = OneWait(wires)
        request, amount = packed(waiting.sent), len(waiting.sent)
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = new_connection(self._pool)
        try:
            replies = waiting.all_replies(self._ask(connection, request, amount))
        except BaseException:
            # Replies that nobody has read must not become another caller's. So where this is
            # interrupted, too, nobody uses the connection again.
            connection.disconnect()  # type: ignore[no-untyped-call]
            self._idle.append(connection)
            raise
        self._idle.append(connection)
        return replies

    def close(self) -> None:
        """Close what is idle; the rest closes with the last that uses it."""
        while self._idle:
            self._idle.pop().disconnect()  # type: ignore[no-untyped-call]
        self._client.close()

    def _ask(self, connection: Connection, request: bytes, amount: int) -> list[object]:
        replies: list[object] = []
        if connection.is_connected:
            if self._pool.owns_connection(connection):
                try:
                    send(connection, request)
                    _read(connection, amount, replies)
                except (exceptions.ConnectionError, OSError):
                    if replies:
                        raise
                else:
                    return replies
            connection.disconnect()  # type: ignore[no-untyped-call]
        connection.connect()  # type: ignore[no-untyped-call]
        send(connection, request)
        _read(connection, amount, replies)
        return replies


def _read(connection: Connection, amount: int, replies: list[object]) -> None:
    for _ in range(amount):
        replies.append(next_said(connection))  # it is known what had come when one fails


def new_connection(pool: ConnectionPool) -> Connection:
    """A connection that is open from its first use on. Raises redis-py's MaxConnectionsError."""
    return cast("Connection", pool.make_connection())


def packed(wires: Sequence[tuple[Argument, ...]]) -> bytes:
    """The commands as they are sent. Raises redis-py's DataError."""
    try:
        return b"".join(map(hiredis.pack_command, wires))  # type: ignore[arg-type]  # its stub takes a tuple of one for any tuple
    except TypeError as exc:
        raise exceptions.DataError(*exc.args) from exc


def send(connection: Connection, request: bytes) -> None:
    """Send commands; PING before, where nothing was sent for long. Raises what redis-py raises."""
    connection.send_packed_command([request])  # type: ignore[no-untyped-call]
    connection.next_health_check = time.monotonic() + connection.health_check_interval  # type: ignore[assignment]  # it begins as an integer


def next_said(connection: Connection) -> object:
    """What the server says next: a reply, perhaps an error, or in RESP3 a push.

    Raises what redis-py raises of the connection.
    """
    # redis-py's public way to it is ten calls for each reply.
    parser = connection._parser
    while (said := parser._reader.gets()) is NOT_ENOUGH_DATA:
        parser.read_from_socket()
    if isinstance(said, _OF_THE_SERVER):
        raise said
    return said

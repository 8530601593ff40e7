"""A connection on which Redis says which of the keys that were read over it have changed.

It asks for that with CLIENT TRACKING, in RESP3, where what Redis says by itself comes between the
replies, in the order in which it happened: a change that was said before a reply, that reply shows.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar, cast

import hiredis
from redis import exceptions
from redis.maint_notifications import MaintNotificationsConfig

from memory.errors import MemoryUnavailable
from memory.redis.async_client import ServerClient, new_client
from memory.redis.command import Command
from memory.redis.endpoint import Endpoint
from memory.redis.failures import refused, translating
from memory.redis.round_trip import RoundTrip

T = TypeVar("T")

_NO_MORE = object()
"""What the parser gives where no whole reply is left."""


class TrackedConnection(asyncio.Protocol):
    """Reads keys, one command at a time, and learns of their changes.

    Redis says a change once, and nothing more of that key until it is read again. It says it for
    a key that expired or was deleted, too, and for one that it can no longer watch.
    """

    def __init__(
        self, transport: asyncio.Transport, client: ServerClient, label: str, timeout_s: float
    ) -> None:
        """`transport` is that of the only connection of `client`, which tracks; see
        `open_tracked`."""
        self.changed: set[str] = set()
        """Keys that have changed since they were read; who reads takes them out."""
        self.is_all_changed = False
        """Whether everything was removed (FLUSHDB, FLUSHALL) since who reads has said no."""
        self.seen: frozenset[str] = frozenset()
        """Of the keys of the last read those whose change was said before its reply."""
        self.is_lost = False
        self.on_change: Callable[[], None] = _nothing
        """Called as keys have changed, and as the connection is lost."""
        self._label = label
        self._timeout_s = timeout_s
        self._client = client
        self._transport = transport
        self._former = transport.get_protocol()
        transport.set_protocol(self)
        self._parser = hiredis.Reader(notEnoughData=_NO_MORE, replyError=exceptions.ResponseError)
        self._asked: frozenset[str] = frozenset()
        self._reply: asyncio.Future[object] | None = None

    async def read(self, command: Command[T], keys: Collection[str]) -> T:
        """The result of a command that reads these keys. Not while another is under way.

        Raises MemoryServiceError; after MemoryUnavailable the connection is lost.
        """
        loop = asyncio.get_running_loop()
        self._asked = frozenset(keys)
        answer = self._reply = loop.create_future()
        if self.is_lost:
            self._lose("it was closed")
        else:
            self._transport.write(hiredis.pack_command(command.wire()))  # type: ignore[arg-type]  # the stub says: a tuple of one
        timer = loop.call_later(self._timeout_s, self._lose, "no answer in time")
        try:
            with RoundTrip():
                reply = await answer
        except asyncio.CancelledError:
            self._lose("a read was cancelled")  # or its reply would become another's
            raise
        finally:
            timer.cancel()
            self._reply = None
        if isinstance(reply, MemoryUnavailable):
            raise reply
        if isinstance(reply, Exception):
            raise refused(command, reply, self._label)
        return command.parse(reply)

    def hold(self) -> None:
        """Take nothing in: what Redis says comes together, at the cost of one."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def let_go(self) -> None:
        """Take in again what comes."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    async def aclose(self) -> None:
        """Close it. Safe to repeat."""
        self._lose("it was closed")
        with suppress(exceptions.RedisError, OSError):
            await self._client.aclose()

    def data_received(self, data: bytes) -> None:
        """What came from Redis: replies, and what it says by itself."""
        self._parser.feed(data)
        is_news = False
        try:
            while (said := self._parser.gets()) is not _NO_MORE:
                if isinstance(said, hiredis.PushNotification):
                    is_news |= self._take(said)
                else:
                    self._answer(said)
        except hiredis.ProtocolError:
            self._lose("what it said is no RESP3")
        if is_news:
            self.on_change()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._former.connection_lost(exc)  # redis-py waits for it as it closes
        self._lose(f"the connection was lost ({exc})" if exc else "the connection was closed")

    def _take(self, said: list[object]) -> bool:
        match said:
            case [b"invalidate", None]:
                self.is_all_changed = True
            case [b"invalidate", list(keys)]:
                self.changed.update(key.decode(errors="replace") for key in keys)
            case _:
                return False
        return True

    def _answer(self, reply: object) -> None:
        self.seen = self._asked & self.changed
        self.changed -= self.seen
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def _lose(self, why: str) -> None:
        if not self.is_lost:
            self.is_lost = True
            self._transport.abort()
            self.on_change()
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(MemoryUnavailable(f"Redis at {self._label}: {why}"))


async def open_tracked(where: Endpoint, *, timeout_s: float) -> TrackedConnection:
    """A connection to a server or a master, not to a cluster.

    Raises MemoryServiceError: MemoryUnavailable where another try may succeed.
    """
    # redis-py would ask for notices of maintenance, too.
    quiet = MaintNotificationsConfig(enabled=False)
    options = where.options | {"protocol": 3, "maint_notifications_config": quiet}
    client = cast("ServerClient", new_client(replace(where, options=options), timeout_s=timeout_s))
    try:
        with translating(where.label):
            transport = await client.own_transport(("CLIENT", "TRACKING", "ON"))
    except BaseException:
        await client.aclose()
        raise
    return TrackedConnection(transport, client, where.label, timeout_s)


def _nothing() -> None:
    """Nobody waits for a change yet."""

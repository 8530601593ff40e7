"""Waiting for new events of many streams on one event loop, with one blocking read for all.

A follower that waits costs nothing of its own: all that wait in a process share one XREAD. On a
cluster, where streams lie on several servers, each stream is looked at by itself instead.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextvars import Context
from dataclasses import dataclass, field

from memory.errors import CannotRead, CorruptData, CursorExpired, MemoryServiceError
from memory.records.event import Event
from memory.records.events import (
    Stream,
    is_after,
    is_expired,
    may_have_gap,
    oldest_cursor,
    read_now,
    read_several,
)
from memory.redis.async_connection import AsyncConnection

BLOCK_MS = 25
"""How long one read waits; who begins to follow meanwhile waits as long for the next."""


@dataclass(slots=True, eq=False)
class _Waiting:
    stream: Stream
    cursor: str
    found: "asyncio.Future[list[Event]]" = field(repr=False)


class Tail:
    """Reads the ends of event streams. `connect` makes the connection that is kept for it alone:
    a blocking read would hold up anything else on it."""

    def __init__(self, connect: Callable[[], AsyncConnection], *, block_ms: int = BLOCK_MS) -> None:
        self._connection = connect()
        self._block_ms = block_ms
        self._waiting: dict[_Waiting, None] = {}  # in their order; a thousand come and go
        self._reader: asyncio.Task[None] | None = None

    async def after(self, stream: Stream, cursor: str, *, timeout_s: float) -> list[Event]:
        """The events of a stream after a cursor; nothing if none comes in time.

        Raises CursorExpired where some are no longer kept, and MemoryServiceError.
        """
        waiting = _Waiting(stream, cursor, asyncio.get_running_loop().create_future())
        self._waiting[waiting] = None
        # It ends when nobody waits: a process without followers asks Redis nothing.
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(), context=Context())
        try:
            async with asyncio.timeout(timeout_s):
                return await waiting.found
        except TimeoutError:
            return []
        finally:
            self._waiting.pop(waiting, None)

    async def aclose(self) -> None:
        """Stop reading and close the connection."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait((self._reader,))
        await self._connection.aclose()

    async def _read(self) -> None:
        while self._waiting:
            cursors = _earliest(self._waiting)
            try:
                found = await self._events_after(cursors)
            except MemoryServiceError as exc:
                self._fail(exc, cursors)
            else:
                await self._refuse_the_late(found)
                self._hand_out(cursors, found)
            # Followers that got events ask for more before the next read.
            await asyncio.sleep(0)

    async def _events_after(self, cursors: dict[Stream, str]) -> dict[Stream, list[Event]]:
        # docs/decisions.md, "Many followers on a cluster poll".
        if len(cursors) > 1 and self._connection.is_cluster:
            return await self._each_after(cursors)
        try:
            return await self._connection.run(read_several(cursors, block_ms=self._block_ms))
        except (CorruptData, CannotRead):
            # One damaged stream is enough, and XREAD answers WRONGTYPE for all of them.
            return await self._each_after(cursors)

    async def _each_after(self, cursors: dict[Stream, str]) -> dict[Stream, list[Event]]:
        """Read each stream by itself: one that cannot be read fails its own followers only."""
        # One command may not touch two slots, and a blocking one would hold a connection each.
        reads = [self._connection.run(read_now(*one)) for one in cursors.items()]
        found: dict[Stream, list[Event]] = {}
        for stream, page in zip(
            cursors, await asyncio.gather(*reads, return_exceptions=True), strict=True
        ):
            if isinstance(page, MemoryServiceError):
                self._fail(page, (stream,))
            elif isinstance(page, BaseException):
                raise page
            elif page:
                found[stream] = page
        if not found:
            await asyncio.sleep(min(self._block_ms, BLOCK_MS) / 1000)
        return found

    async def _refuse_the_late(self, found: dict[Stream, list[Event]]) -> None:
        """Fail the followers whose events the stream's cap has removed before they were read."""
        for stream in [stream for stream, page in found.items() if may_have_gap(page)]:
            try:
                oldest = await self._connection.run(oldest_cursor(stream.key))
            except MemoryServiceError as exc:
                self._fail(exc, (stream,))
                continue
            for waiting in list(self._waiting):
                if waiting.stream == stream and is_expired(waiting.cursor, oldest):
                    del self._waiting[waiting]
                    if not waiting.found.done():
                        waiting.found.set_exception(CursorExpired(waiting.cursor))

    def _hand_out(self, cursors: dict[Stream, str], found: dict[Stream, list[Event]]) -> None:
        for waiting in [one for one in self._waiting if one.stream in found]:
            # A follower that came during the read with an earlier cursor would miss events.
            begun, new = cursors[waiting.stream], found[waiting.stream]
            if is_after(begun, waiting.cursor):
                continue
            if waiting.cursor != begun:
                new = [event for event in new if is_after(event.cursor, waiting.cursor)]
            if new and not waiting.found.done():
                waiting.found.set_result(new)
                del self._waiting[waiting]

    def _fail(self, error: MemoryServiceError, streams: Collection[Stream]) -> None:
        """Give the error to those who wait for one of these streams."""
        for waiting in [one for one in self._waiting if one.stream in streams]:
            del self._waiting[waiting]
            if not waiting.found.done():
                waiting.found.set_exception(error)


def _earliest(waiting: Iterable[_Waiting]) -> dict[Stream, str]:
    """For each stream the cursor of the follower that is furthest behind."""
    cursors: dict[Stream, str] = {}
    # One read serves all followers of a stream, each of which takes what is new to it.
    for one in waiting:
        known = cursors.get(one.stream)
        if known is None or is_after(known, one.cursor):
            cursors[one.stream] = one.cursor
    return cursors

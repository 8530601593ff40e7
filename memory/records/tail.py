"""Waiting for new events of many streams on one event loop, with one blocking read for all.

A follower that waits costs nothing of its own: all that wait in a process share one XREAD and one
timer. On a cluster, where streams lie on several servers, each stream is looked at by itself.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context

from memory.errors import (
    CannotRead,
    CorruptData,
    MemoryServiceError,
    MemoryUnavailable,
)
from memory.records.changes import TrackedStreams, TrackedStreamsOpener
from memory.records.event import Event
from memory.records.events import Stream, may_have_gap, oldest_cursor, read_now, read_several
from memory.records.followed import Followed, Waiting
from memory.redis.async_connection import AsyncConnection

BLOCK_MS = 25
"""How long one read waits; who begins to follow meanwhile waits as long for the next."""
TRACKED_FROM = 16
"""So many streams are followed before Redis is asked to say which of them change."""
LATE_S = 0.02
"""So much later than asked a wait may end in which nothing comes."""


class Tail:
    """Reads the ends of event streams. `connect` makes the connection that is kept for it alone:
    a blocking read would hold up anything else on it."""

    def __init__(
        self, connect: Callable[[], AsyncConnection], *, block_ms: int = BLOCK_MS,
        tracked_from: int = TRACKED_FROM,
    ) -> None:  # fmt: skip
        self._connection = connect()
        self._opener = TrackedStreamsOpener(self._connection)
        self._tracked_from = tracked_from
        self._block_ms = block_ms
        self._followed: dict[str, Followed] = {}  # by the streams' keys; a thousand come and go
        self._reader: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        """When the timer runs: uvloop's own does not know where that is at once."""
        self._is_closed = False

    async def after(self, stream: Stream, cursor: str, *, timeout_s: float) -> list[Event]:
        """The events of a stream after a cursor; nothing if none comes in time.

        Raises CursorExpired where some are no longer kept, and MemoryServiceError.
        """
        if self._is_closed:
            # A reader that ends and the timer that is gone would leave it waiting for ever.
            raise MemoryUnavailable(
                f"the connection to Redis at {self._connection.label} was closed"
            )
        loop = asyncio.get_running_loop()
        waiting = Waiting(cursor, loop.time() + timeout_s, loop.create_future())
        if (followed := self._followed.get(stream.key)) is None:
            followed = self._followed[stream.key] = Followed(stream)
        followed.waiting.append(waiting)
        if self._opener.changes is not None:
            self._opener.changes.follow(stream.key, cursor)
        self._expire_at(loop, waiting.until_s)
        # It ends when nobody waits: a process without followers asks Redis nothing.
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(), context=Context())
        try:
            return await waiting.found
        except asyncio.CancelledError:
            if waiting in followed.waiting:
                followed.waiting.remove(waiting)
            raise

    async def aclose(self) -> None:
        """Stop reading and close the connection; to who waits nothing comes any more, and who asks
        again is told so."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for one in self._followed.values():
            one.expire(math.inf)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait((self._reader,))
        await self._opener.aclose()
        await self._connection.aclose()

    def _expire_at(self, loop: asyncio.AbstractEventLoop, when_s: float) -> None:
        # One timer for all: most waits end with an event, so that a timer for each would only be
        # set and cancelled, for every token.
        if when_s < self._timer_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_s = loop.call_at(when_s, self._expire, loop), when_s

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._timer_s = None, math.inf
        now_s = loop.time()
        for one in self._followed.values():
            one.expire(now_s)
        left_s = [one.until_s for followed in self._followed.values() for one in followed.waiting]
        if left_s:
            self._expire_at(loop, max(min(left_s), now_s + LATE_S))

    async def _read(self) -> None:
        while any(one.waiting for one in self._followed.values()):
            if (changes := self._opener.changes) is None:
                await self._read_all()
            elif changes.is_over:
                await self._opener.drop()
            else:
                await self._read_changed(changes)
        self._followed.clear()

    async def _read_all(self) -> None:
        followed = {key: one for key, one in self._followed.items() if one.waiting}
        self._followed = followed
        if len(followed) >= self._tracked_from:
            self._opener.open_soon()
        keys, cursors = [*followed], [one.begin() for one in followed.values()]
        try:
            found = await self._events_after(keys, cursors)
        except MemoryServiceError as exc:
            self._fail(exc, keys)
        else:
            await self._hand_out(found)
        # Followers that got events ask for more before the next read.
        await asyncio.sleep(0)

    async def _read_changed(self, changes: TrackedStreams) -> None:
        keys = await changes.due(self._followed)
        if not keys:
            return
        cursors = [self._followed[key].begin() for key in keys]
        try:
            found = await changes.read(keys, cursors, self._stream_of)
        except MemoryUnavailable:
            return  # all are read, which tries more than once
        except (CorruptData, CannotRead):
            await self._hand_out(await self._each_after(keys, cursors))
        except MemoryServiceError as exc:
            self._fail(exc, keys)
        else:
            await self._hand_out(found)
        await changes.gap(len(self._followed))

    async def _hand_out(self, found: Mapping[str, list[Event]]) -> None:
        await self._refuse_the_late(found)
        for key, page in found.items():
            self._followed[key].hand_out(page)

    async def _events_after(
        self, keys: Sequence[str], cursors: Sequence[str]
    ) -> dict[str, list[Event]]:
        # docs/decisions.md, "Many followers on a cluster poll".
        if len(keys) > 1 and self._connection.is_cluster:
            return await self._each_after(keys, cursors)
        read = read_several(keys, cursors, self._stream_of, block_ms=self._block_ms)
        try:
            return await self._connection.run(read)
        except (CorruptData, CannotRead):
            # One damaged stream is enough, and XREAD answers WRONGTYPE for all of them.
            return await self._each_after(keys, cursors)

    def _stream_of(self, key: str) -> Stream:
        return self._followed[key].stream

    async def _each_after(
        self, keys: Sequence[str], cursors: Sequence[str]
    ) -> dict[str, list[Event]]:
        """Read each stream by itself: one that cannot be read fails its own followers only."""
        # One command may not touch two slots, and a blocking one would hold a connection each.
        asked = zip(map(self._stream_of, keys), cursors, strict=True)
        reads = [self._connection.run(read_now(*one)) for one in asked]
        found: dict[str, list[Event]] = {}
        for key, page in zip(
            keys, await asyncio.gather(*reads, return_exceptions=True), strict=True
        ):
            if isinstance(page, MemoryServiceError):
                self._fail(page, (key,))
            elif isinstance(page, BaseException):
                raise page
            elif page:
                found[key] = page
        if not found:
            await asyncio.sleep(min(self._block_ms, BLOCK_MS) / 1000)
        return found

    async def _refuse_the_late(self, found: Mapping[str, Sequence[Event]]) -> None:
        """Fail the followers whose events the stream's cap has removed before they were read."""
        for key in [key for key, page in found.items() if may_have_gap(page)]:
            try:
                oldest = await self._connection.run(oldest_cursor(key))
            except MemoryServiceError as exc:
                self._fail(exc, (key,))
                continue
            self._followed[key].refuse_the_late(oldest)

    def _fail(self, error: MemoryServiceError, keys: Iterable[str]) -> None:
        """Give the error to those who wait for one of these streams."""
        for key in keys:
            self._followed[key].fail(error)

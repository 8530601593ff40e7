"""Waiting for new events of many streams on one event loop, with one blocking read for all.

A follower that waits costs nothing of its own: all that wait in a process share one XREAD and one
timer. On a cluster, where streams lie on several servers, each stream is looked at by itself.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field

from memory.errors import (
    CannotRead,
    CorruptData,
    CursorExpired,
    MemoryServiceError,
    MemoryUnavailable,
)
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
LATE_S = 0.02
"""So much later than asked a wait may end in which nothing comes."""


@dataclass(slots=True, eq=False)
class _Waiting:
    cursor: str
    until_s: float
    found: "asyncio.Future[list[Event]]" = field(repr=False)


@dataclass(slots=True, eq=False)
class _Followed:
    """A stream, and who waits for what comes in it."""

    stream: Stream
    waiting: list[_Waiting] = field(default_factory=list)
    begun: str = ""
    """The cursor after which the read goes that is under way."""

    def begin(self) -> str:
        """The cursor of the follower that is furthest behind: one read serves all of them."""
        self.begun = self.waiting[0].cursor
        if len(self.waiting) > 1:
            for one in self.waiting:
                if is_after(self.begun, one.cursor):
                    self.begun = one.cursor
        return self.begun

    def hand_out(self, new: list[Event]) -> None:
        """Give what the read has found to each follower that it is new to."""
        still: list[_Waiting] = []
        for one in self.waiting:
            page = new
            if one.cursor != self.begun:
                # A follower that came during the read with an earlier cursor would miss events.
                is_earlier = is_after(self.begun, one.cursor)
                page = (
                    [] if is_earlier
                    else [event for event in new if is_after(event.cursor, one.cursor)]
                )  # fmt: skip
            if not page:
                still.append(one)
            elif not one.found.done():
                one.found.set_result(page)
        self.waiting = still

    def fail(self, error: MemoryServiceError) -> None:
        """Give the error to all followers."""
        for one in self._taken(lambda _: True):
            one.found.set_exception(error)

    def refuse_the_late(self, oldest: str | None) -> None:
        """Fail those that have missed events of a stream that begins with `oldest`."""
        for one in self._taken(lambda one: is_expired(one.cursor, oldest)):
            one.found.set_exception(CursorExpired(one.cursor))

    def expire(self, now_s: float) -> None:
        """End the waits that have lasted long enough."""
        for one in self._taken(lambda one: one.until_s <= now_s):
            one.found.set_result([])

    def _taken(self, is_over: Callable[[_Waiting], bool]) -> list[_Waiting]:
        """Those whose wait is over, and which wait no more."""
        over = dict.fromkeys(one for one in self.waiting if is_over(one))
        if over:
            self.waiting = [one for one in self.waiting if one not in over]
        return [one for one in over if not one.found.done()]


class Tail:
    """Reads the ends of event streams. `connect` makes the connection that is kept for it alone:
    a blocking read would hold up anything else on it."""

    def __init__(self, connect: Callable[[], AsyncConnection], *, block_ms: int = BLOCK_MS) -> None:
        self._connection = connect()
        self._block_ms = block_ms
        self._followed: dict[str, _Followed] = {}  # by the streams' keys; a thousand come and go
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
        waiting = _Waiting(cursor, loop.time() + timeout_s, loop.create_future())
        if (followed := self._followed.get(stream.key)) is None:
            followed = self._followed[stream.key] = _Followed(stream)
        followed.waiting.append(waiting)
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
        while followed := {key: one for key, one in self._followed.items() if one.waiting}:
            self._followed = followed
            keys, cursors = [*followed], [one.begin() for one in followed.values()]
            try:
                found = await self._events_after(keys, cursors)
            except MemoryServiceError as exc:
                self._fail(exc, keys)
            else:
                await self._refuse_the_late(found)
                for key, page in found.items():
                    self._followed[key].hand_out(page)
            # Followers that got events ask for more before the next read.
            await asyncio.sleep(0)
        self._followed.clear()

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

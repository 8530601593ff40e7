"""Who waits in this process for what comes in a stream. Pure: nothing here reads one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from memory.errors import CursorExpired, MemoryServiceError
from memory.records.event import Event
from memory.records.events import Stream, is_after, is_expired


@dataclass(slots=True, eq=False)
class Waiting:
    """One that waits for what comes after its cursor, until a time of the loop's clock."""

    cursor: str
    until_s: float
    found: "asyncio.Future[list[Event]]" = field(repr=False)


@dataclass(slots=True, eq=False)
class Followed:
    """A stream, and who waits for what comes in it."""

    stream: Stream
    waiting: list[Waiting] = field(default_factory=list)
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
        still: list[Waiting] = []
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

    def _taken(self, is_over: Callable[[Waiting], bool]) -> list[Waiting]:
        """Those whose wait is over, and which wait no more."""
        over = dict.fromkeys(one for one in self.waiting if is_over(one))
        if over:
            self.waiting = [one for one in self.waiting if one not in over]
        return [one for one in over if not one.found.done()]

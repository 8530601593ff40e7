"""Which followed streams are to be read: those of which Redis says that they have changed.

docs/decisions.md, "Redis says which streams a gateway reads".
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextvars import Context

from memory.errors import MemoryServiceError, MemoryUnavailable
from memory.records.event import Event
from memory.records.events import READ_EVENTS, Stream, is_after, read_several
from memory.records.followed import Followed
from memory.redis.async_connection import AsyncConnection
from memory.redis.tracked import TrackedConnection

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""So often all are read, whatever Redis says."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 600.0
"""So long nobody tries again: after a connection was lost, and where Redis refuses."""
GAP_S = 10e-6
"""For each stream, between two reads: what changes meanwhile is read together."""
SHORTEST_GAP_S = 0.0005  # uvloop has no shorter timers
LONGEST_GAP_S = 0.005


class TrackedStreams:
    """Streams that end where they were read to, as long as Redis says no change of them.

    It lives as long as its connection: who finds that it `is_over` reads otherwise.
    """

    def __init__(self, tracked: TrackedConnection) -> None:
        self.is_over = False
        """Whether the connection is lost, or of no use."""
        self.is_deaf = False
        """Whether it is over because a stream changed of which Redis had said nothing."""
        self._tracked = tracked
        self._ends: dict[str, str] = {}
        """Behind which cursor a stream had nothing as it was read; no change was said since."""
        self._due: set[str] = set()
        """Streams to be read. A follower waits for one of these, or for one whose end is known and
        not after its cursor."""
        self._look_s = -math.inf
        """When all are read again: at first at once."""
        self._woken: asyncio.Future[None] | None = None
        tracked.on_change = self._wake

    def follow(self, key: str, cursor: str) -> None:
        """Somebody waits for what comes in a stream after a cursor."""
        end = self._ends.get(key)
        if end is None or (end != cursor and is_after(end, cursor)):
            self._due.add(key)
            self._wake()

    async def due(self, followed: dict[str, Followed]) -> list[str]:
        """The streams that are to be read now. Where there are none it waits until there may be.

        Takes out of `followed`, now and then, what nobody waits for.
        """
        self._take_changed()
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            for key in [key for key, one in followed.items() if not one.waiting]:
                del followed[key]
            # What nobody waits for now is read once more before it is believed.
            self._ends = {key: end for key, end in self._ends.items() if key in followed}
            self._due.clear()
            return [*followed]
        keys = [key for key in self._due if key in followed and followed[key].waiting]
        if not keys:
            await self._change()
        return keys

    async def read(
        self, keys: Sequence[str], cursors: Sequence[str], stream_of_key: Callable[[str], Stream]
    ) -> dict[str, list[Event]]:
        """The events of streams after these cursors; does not wait for any.

        Raises MemoryServiceError; it is over with MemoryUnavailable.
        """
        ends = {key: end for key in keys if (end := self._ends.pop(key, None)) is not None}
        self._due.difference_update(keys)
        command = read_several(keys, cursors, stream_of_key, block_ms=None)
        try:
            found = await self._tracked.read(command, keys)
        except MemoryServiceError as exc:
            self.is_over |= isinstance(exc, MemoryUnavailable)
            self._due.update(keys)
            raise
        for key, cursor in zip(keys, cursors, strict=True):
            page = found.get(key, ())
            if len(page) >= READ_EVENTS:
                self._due.add(key)  # there may be more
            else:
                self._ends[key] = page[-1].cursor if page else cursor
        if not self._tracked.is_all_changed and any(
            is_after(found[key][-1].cursor, end)
            for key, end in ends.items()
            if key in found and key not in self._tracked.seen
        ):
            self.is_over = self.is_deaf = True
        return found

    async def gap(self, amount: int) -> None:
        """Let the changes of so many streams come together."""
        gap_s = min(LONGEST_GAP_S, amount * GAP_S)
        if gap_s < SHORTEST_GAP_S:
            await asyncio.sleep(0)
            return
        self._tracked.hold()
        try:
            await asyncio.sleep(gap_s)
        finally:
            self._tracked.let_go()
        # asyncio takes in what came in the second turn from here, uvloop in the first. What came
        # with the reply of the last read would otherwise be read alone, and this a gap later.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Close the connection. Safe to repeat."""
        await self._tracked.aclose()

    def _take_changed(self) -> None:
        if self._tracked.is_all_changed:
            self._tracked.is_all_changed = False
            self._look_s = -math.inf
        changed, self._tracked.changed = self._tracked.changed, set()
        for key in changed:
            # One whose end is not known is due already, or nobody waits for it.
            if self._ends.pop(key, None) is not None:
                self._due.add(key)

    async def _change(self) -> None:
        """Wait until a stream may have to be read, or it is over."""
        if self._tracked.is_lost:
            self.is_over = True
            return
        loop = asyncio.get_running_loop()
        self._woken = loop.create_future()
        timer = loop.call_at(self._look_s, self._wake)
        try:
            await self._woken
        finally:
            timer.cancel()
            self._woken = None

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


class TrackedStreamsOpener:
    """Opens the connection of `TrackedStreams` where it can be had, and again after its loss."""

    def __init__(self, connection: AsyncConnection) -> None:
        """`connection` is to the server that is asked; nothing is sent over it."""
        self.changes: TrackedStreams | None = None
        self._connection = connection
        self._opening: asyncio.Task[None] | None = None
        self._from_s = math.inf if connection.is_cluster else -math.inf
        self._pause_s = FIRST_PAUSE_S
        self._is_said = False

    def open_soon(self) -> None:
        """Begin to open it, unless that is under way, has just failed, or there is a cluster."""
        now_s = asyncio.get_running_loop().time()
        if self._opening is None and self.changes is None and now_s >= self._from_s:
            self._from_s = now_s + self._pause_s
            self._opening = asyncio.create_task(self._open(), context=Context())

    async def drop(self) -> None:
        """Close what is over."""
        changes, self.changes = self.changes, None
        if changes is not None:
            self._pause(FIRST_PAUSE_S)
            if changes.is_deaf:
                self._refused("it said nothing of a stream that changed")
            await changes.aclose()

    async def aclose(self) -> None:
        """Close it for good. Safe to repeat."""
        self._from_s = math.inf
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,))
        await self.drop()

    async def _open(self) -> None:
        try:
            self.changes = TrackedStreams(await self._connection.tracked())
            self._pause_s = FIRST_PAUSE_S
        except MemoryUnavailable:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        except MemoryServiceError as exc:
            self._refused(str(exc))
        finally:
            self._opening = None

    def _refused(self, why: str) -> None:
        self._pause(LONGEST_PAUSE_S)
        if not self._is_said:
            self._is_said = True
            logger.info(
                "Redis does not say which event streams have changed, so that all that are "
                "followed are read each time: %s", why,
            )  # fmt: skip

    def _pause(self, least_s: float) -> None:
        self._from_s = max(self._from_s, asyncio.get_running_loop().time() + least_s)

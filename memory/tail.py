"""Waiting for new events of many streams on one event loop, with one blocking read for all.

A follower that waits costs nothing of its own: all that wait in a process share one XREAD.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from memory.aio import AsyncConnection
from memory.errors import MemoryServiceError
from memory.events import Event, is_after, read_several

READ_EVENTS = 500
BLOCK_MS = 25
"""How long one read waits; who begins to follow meanwhile waits as long for the next."""


@dataclass(slots=True, eq=False)
class _Waiting:
    key: str
    cursor: str
    found: "asyncio.Future[list[Event]]" = field(repr=False)


class Tail:
    """Reads the ends of event streams. `connect` makes the connection that is kept for it alone:
    a blocking read would hold up anything else on it."""

    def __init__(self, connect: Callable[[], AsyncConnection], *, block_ms: int = BLOCK_MS) -> None:
        self._connection = connect()
        self._block_ms = block_ms
        self._waiting: list[_Waiting] = []
        self._reader: asyncio.Task[None] | None = None

    async def after(self, key: str, cursor: str, *, timeout_s: float) -> list[Event]:
        """The events of a stream after a cursor; nothing if none comes in time.

        Raises MemoryServiceError.
        """
        waiting = _Waiting(key, cursor, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(timeout_s):
                return await waiting.found
        except TimeoutError:
            return []
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    async def aclose(self) -> None:
        """Stop reading and close the connection."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait((self._reader,))
        await self._connection.aclose()

    async def _read(self) -> None:
        while self._waiting:
            cursors = _earliest(self._waiting)
            call = read_several(cursors, count=READ_EVENTS, block_ms=self._block_ms)
            try:
                self._hand_out(cursors, await self._connection.run(call))
            except MemoryServiceError as exc:
                self._tell(exc)
            # Whoever was served comes back for more before the next read.
            await asyncio.sleep(0)

    def _hand_out(self, cursors: dict[str, str], found: dict[str, list[Event]]) -> None:
        for waiting in list(self._waiting):
            # Who came during the read and is further behind would miss what lies between.
            begun = cursors.get(waiting.key)
            if begun is None or is_after(begun, waiting.cursor):
                continue
            new = [e for e in found.get(waiting.key, ()) if is_after(e.cursor, waiting.cursor)]
            if new and not waiting.found.done():
                waiting.found.set_result(new)
                self._waiting.remove(waiting)

    def _tell(self, error: MemoryServiceError) -> None:
        for waiting in self._waiting:
            if not waiting.found.done():
                waiting.found.set_exception(error)
        self._waiting.clear()


def _earliest(waiting: list[_Waiting]) -> dict[str, str]:
    """For each stream the cursor of the follower that is furthest behind."""
    cursors: dict[str, str] = {}
    for one in waiting:
        known = cursors.get(one.key)
        if known is None or is_after(known, one.cursor):
            cursors[one.key] = one.cursor
    return cursors

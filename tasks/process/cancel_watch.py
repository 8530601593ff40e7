"""A worker follows the announcements of cancelled jobs and stops those that it runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from memory import (
    AsyncConnection,
    CorruptData,
    CursorExpired,
    Keyspace,
    MemoryServiceError,
    MemorySettings,
    Tail,
    events,
)
from memory.pauses.pauses import ANNOUNCED_AS
from tasks.process.stopping import RunningLeases

logger = logging.getLogger(__name__)

# A capped stream and not pub/sub, which loses what is sent during a reconnection
# (docs/decisions.md, "Cancelling takes two scripts, each atomic").
BLOCK_MS = 1000
LOOK_S = 5.0
PAUSE_S = 1.0

ReadPauses = Callable[[], Awaitable[None]]


async def watch_cancellations(
    settings: MemorySettings, keyspace: Keyspace, leases: RunningLeases, read_pauses: ReadPauses
) -> None:
    """Stop running jobs as their cancellation is announced, and `read_pauses` as their change is;
    runs until it is cancelled itself.

    What is missed, because Redis is away, a foreign entry lies before it, or so many come that the
    stream's cap takes them, is made up for at the lease's renewal, and with the next sweep.
    """
    memory = AsyncConnection(settings)
    tail = Tail(lambda: AsyncConnection(settings), block_ms=BLOCK_MS)
    stops = events.stops_of(keyspace)
    cursor: str | None = None
    try:
        while True:
            try:
                if cursor is None:
                    cursor = await memory.run(events.last_cursor(keyspace.cancellations))
                    await read_pauses()
                for event in await tail.after(stops, cursor, timeout_s=LOOK_S):
                    cursor = event.cursor
                    if event.job_id == ANNOUNCED_AS:
                        await read_pauses()
                    await leases.stop_if_cancelled(memory, event.job_id)
            except CursorExpired:
                cursor = None
            except CorruptData as exc:
                logger.error(
                    "jobs cancelled just now stop only as their leases are renewed: %s", exc
                )
                cursor = None  # behind what cannot be read
                await asyncio.sleep(PAUSE_S)
            except MemoryServiceError as exc:
                logger.info(
                    "cancellations cannot be received; the next try is in one second: %s", exc
                )
                await asyncio.sleep(PAUSE_S)
    finally:
        await tail.aclose()
        await memory.aclose()

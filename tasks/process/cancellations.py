"""Obeying a stop: a worker follows the announcements and stops what it runs itself."""

import asyncio
import logging

from memory import (
    AsyncConnection,
    CursorExpired,
    Keyspace,
    MemoryServiceError,
    MemorySettings,
    Tail,
    events,
)
from tasks.process.lease import Running

logger = logging.getLogger(__name__)

BLOCK_MS = 1000
LOOK_S = 5.0
PAUSE_S = 1.0


async def watch_cancellations(
    settings: MemorySettings, keyspace: Keyspace, running: Running
) -> None:
    """Stop running jobs as their end is announced, until cancelled.

    An announcement that is missed, because Redis is away or so many come that the stream's cap
    takes them, is made up for at the lease's renewal.
    """
    memory = AsyncConnection(settings)
    tail = Tail(lambda: AsyncConnection(settings), block_ms=BLOCK_MS)
    cursor: str | None = None
    try:
        while True:
            try:
                if cursor is None:
                    cursor = await memory.run(events.last_cursor(keyspace.cancellations))
                for event in await tail.after(keyspace.cancellations, cursor, timeout_s=LOOK_S):
                    cursor = event.cursor
                    await running.stop_if_cancelled(memory, event.job_id)
            except CursorExpired:
                cursor = None
            except MemoryServiceError as exc:
                logger.info("stops cannot be followed just now: %s", exc)
                await asyncio.sleep(PAUSE_S)
    finally:
        await tail.aclose()
        await memory.aclose()

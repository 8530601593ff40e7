"""The events of one job for a view: with ticks of silence, and across an outage of Redis."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from memory import CursorExpired, Event, MemoryUnavailable
from tasks.aio import follow_job

AGAIN_S = 1.0


async def patiently(
    events: AsyncGenerator[Event, None], patience_s: float
) -> AsyncGenerator[Event | None, None]:
    """The events as they come, and None whenever none came for `patience_s`."""
    while True:
        coming = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait({coming}, timeout=patience_s))[0]:
                yield None
        finally:
            coming.cancel()
        if (event := coming.result()) is None:
            return
        yield event


async def through_outages(job_id: str, say: Callable[[str], None]) -> AsyncGenerator[Event, None]:
    """The events of a job to its end. While Redis does not answer, why is said, and it is tried
    again. Raises ChatError and the other MemoryServiceErrors."""
    after: str | None = None
    while True:
        try:
            async with aclosing(follow_job(job_id, after)) as events:
                async for event in events:
                    after = event.cursor or after
                    yield event
            return
        except CursorExpired:
            after = None  # its first event begins the text anew
        except MemoryUnavailable as exc:
            say(str(exc))
            await asyncio.sleep(AGAIN_S)

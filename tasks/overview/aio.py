"""What operators look at and decide, on an event loop."""

import asyncio
from datetime import date
from functools import partial
from typing import Unpack

from memory.pauses.pauses import Pause
from tasks.overview import found_jobs
from tasks.overview import usage as overview_usage
from tasks.overview.found_jobs import FoundJobs, JobSearch
from tasks.overview.usage import UsageBy, UsageRow
from tasks.submit import drain as draining
from tasks.submit import pauses
from tasks.submit.drain import Draining
from tasks.submit.pauses import PauseKindName


async def find_jobs(
    *, cursor: str = "", limit: int = 100, **search: Unpack[JobSearch]
) -> FoundJobs:
    """`tasks.find_jobs` on an event loop."""
    find = partial(found_jobs.find_jobs, cursor=cursor, limit=limit, **search)
    return await asyncio.to_thread(find)


async def usage(
    by: UsageBy = "day",
    *,
    since: date | None = None,
    until: date | None = None,
    each_day: bool = False,
) -> tuple[UsageRow, ...]:
    """`tasks.usage` on an event loop."""
    ask = partial(overview_usage.usage, by, since=since, until=until, each_day=each_day)
    return await asyncio.to_thread(ask)


async def pause(
    kind: PauseKindName, name: str = "", *, reason: str = "", for_s: float | None = None
) -> Pause:
    """`tasks.pause` on an event loop."""
    return await asyncio.to_thread(pauses.pause, kind, name, reason=reason, for_s=for_s)


async def resume(kind: PauseKindName, name: str = "") -> bool:
    """`tasks.resume` on an event loop."""
    return await asyncio.to_thread(pauses.resume, kind, name)


async def paused() -> list[Pause]:
    """`tasks.paused` on an event loop."""
    return await asyncio.to_thread(pauses.paused)


async def drain(worker: str) -> Draining:
    """`tasks.drain` on an event loop."""
    return await asyncio.to_thread(draining.drain, worker)

"""The sweeper: finds mailboxes whose wake-up was lost and wakes them.

It runs as a timer in every worker and as a beat task; any number may run at once.
"""

import asyncio
import logging
from collections import Counter

from celery import Celery

from memory import CorruptData, Due, DueEntry, MemoryServiceError, SweepOutcome
from tasks.app import app
from tasks.crash_points import CrashPoint, passing
from tasks.schedule import SWEEP_TASK
from tasks.wakeup import wake
from tasks.wiring import Services, services

logger = logging.getLogger(__name__)

BATCH = 500
CORRUPT_PAUSE_MS = 600_000


@app.task(name=SWEEP_TASK, ignore_result=True)
def sweep() -> dict[str, int]:
    """Look once at every mailbox that is due; how many of each outcome."""
    shared = services()
    return dict(shared.runtime.run(sweep_due(shared, app)))


async def sweep_forever(shared: Services, celery: Celery) -> None:
    """Sweep every CHAT_SWEEP_SECONDS until cancelled; an outage of Redis is logged once."""
    is_away = False
    while True:
        await asyncio.sleep(shared.settings.queue.sweep_s)
        try:
            await sweep_due(shared, celery)
            is_away = False
        except MemoryServiceError as exc:
            if not is_away:
                logger.warning("the sweeper cannot reach Redis: %s", exc)
            is_away = True


async def sweep_due(shared: Services, celery: Celery) -> Counter[str]:
    """Look once at what is due now, at most BATCH mailboxes; how many of each outcome."""
    due = Due(shared.keyspace)
    entries = await shared.async_memory.run(due.entries(limit=BATCH))
    if entries:
        await _share_queue_wait(shared, due)
    outcomes = await asyncio.gather(*(_sweep_one(shared, celery, due, e) for e in entries))
    return Counter(outcomes)


async def _share_queue_wait(shared: Services, due: Due) -> None:
    """Learn how long wake-ups lie in the queue from who sees it, and tell where it is much."""
    own = shared.queue_wait
    own.note(await shared.async_memory.run(due.told_wait_ms()) / 1000)
    if shared.grace_ms > shared.settings.queue.grace_s * 1000:
        await shared.async_memory.run(due.tell_wait(round(own.lately_s() * 1000)))


async def _sweep_one(shared: Services, celery: Celery, due: Due, entry: DueEntry) -> str:
    memory, grace_ms = shared.async_memory, shared.grace_ms
    mailbox = due.mailbox(entry)
    if mailbox is None:
        logger.error("%r is no history's key; dropped from the sweeper's list", entry.history_key)
        await memory.run(due.forget(entry))
        return "FORGOTTEN"
    try:
        swept = await memory.run(mailbox.sweep(grace_ms))
    except CorruptData as exc:
        logger.error("cannot sweep %s: %s", entry.history_key, exc)
        await memory.run(due.put_off(entry, CORRUPT_PAUSE_MS))
        return "CORRUPT"
    if swept.outcome is SweepOutcome.WAKE:
        passing(CrashPoint.SWEEP_WAKE)
        is_published = await asyncio.to_thread(wake, celery, mailbox.keys, swept.head)
        if not is_published:
            await memory.run(mailbox.unwake())
            return "UNPUBLISHED"
    await memory.run(due.settle(entry, swept, grace_ms=grace_ms))
    return swept.outcome.value

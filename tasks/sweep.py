"""The sweeper: finds mailboxes whose wake-up was lost and wakes them.

It runs as a timer in every worker and as a beat task; any number may run at once.
"""

import asyncio
import logging
from collections import Counter

from celery import Celery

from memory import CorruptData, Due, DueEntry, MemoryServiceError, SweepOutcome
from tasks.app import app
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
    outcomes = await asyncio.gather(*(_sweep_one(shared, celery, due, e) for e in entries))
    return Counter(outcomes)


async def _sweep_one(shared: Services, celery: Celery, due: Due, entry: DueEntry) -> str:
    memory, queue = shared.async_memory, shared.settings.queue
    mailbox = due.mailbox(entry)
    if mailbox is None:
        logger.error("%r is no history's key; dropped from the sweeper's list", entry.history_key)
        await memory.run(due.forget(entry))
        return "FORGOTTEN"
    try:
        swept = await memory.run(mailbox.sweep(queue.grace_ms))
    except CorruptData as exc:
        logger.error("cannot sweep %s: %s", entry.history_key, exc)
        await memory.run(due.put_off(entry, CORRUPT_PAUSE_MS))
        return "CORRUPT"
    if swept.outcome is SweepOutcome.WAKE:
        is_published = await asyncio.to_thread(wake, celery, mailbox.keys, swept.head)
        if not is_published:
            await memory.run(mailbox.unwake())
            return "UNPUBLISHED"
    await memory.run(due.settle(entry, swept, grace_ms=queue.grace_ms))
    return swept.outcome.value

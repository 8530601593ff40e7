"""The sweeper: finds mailboxes whose wake-up was lost and wakes them, and free places at models
to which nobody was called.

It runs as a timer in every worker and as a beat task; any number may run at once.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from celery import Celery

from memory import (
    CorruptData,
    Due,
    DueEntry,
    InvalidInput,
    MemoryServiceError,
    SweepOutcome,
    index,
    intake,
    owed,
    slots,
)
from memory.mailbox.due import IDLE_MS
from tasks.beat.overdue import STILL_OWED, bring
from tasks.beat.schedule import SWEEP_TASK
from tasks.process.app import app
from tasks.process.crash_points import CrashPoint, passing
from tasks.process.queue_wait import PATIENCE
from tasks.process.wakeup import wake
from tasks.process.wiring import Services, services
from tasks.submit.untold import tell_untold

logger = logging.getLogger(__name__)

BATCH = 500
CORRUPT_PAUSE_MS = 600_000
UNTOLD_PAUSE_MS = 30_000
"""Where results cannot be stored, each try takes seconds."""


@app.task(name=SWEEP_TASK, ignore_result=True)
def sweep() -> dict[str, int]:
    """Look once at every mailbox that is due; how many of each outcome."""
    shared = services()
    return dict(shared.runtime.run(sweep_due(shared, app)))


async def sweep_forever(shared: Services, celery: Celery) -> None:
    """Sweep every CHAT_SWEEP_SECONDS until cancelled; an outage of Redis is logged once.

    Nothing ends it: what is found in one mailbox must not cost all others their wake-ups.
    """
    is_away = False
    while True:
        await asyncio.sleep(shared.settings.queue.sweep_s)
        (ended,) = await asyncio.gather(sweep_due(shared, celery), return_exceptions=True)
        was_away, is_away = is_away, isinstance(ended, MemoryServiceError)
        if is_away and not was_away:
            logger.warning("the sweeper cannot reach Redis: %s", ended)
        elif isinstance(ended, BaseException) and not is_away:
            logger.error("a sweep ended early: %s", type(ended).__name__)


async def sweep_due(shared: Services, celery: Celery) -> Counter[str]:
    """Look once at what is due now, at most BATCH mailboxes; how many of each outcome."""
    due = Due(shared.keyspace)
    entries = await shared.async_memory.run(due.entries(limit=BATCH))
    if entries:
        await _share_queue_wait(shared, due)
    sweeping = (_sweep_one(shared, celery, due, entry) for entry in entries)
    outcomes = _each_by_itself(entries, await asyncio.gather(*sweeping, return_exceptions=True))
    if shared.settings.llm.is_bounded:
        await _sweep_waiting_models(shared)
    return Counter([*outcomes, *await _bring_overdue(shared, celery)])


def _each_by_itself(
    entries: Sequence[DueEntry], outcomes: Sequence[str | BaseException]
) -> list[str]:
    """The outcomes; what went wrong with one mailbox is logged and costs no other anything.

    Raises MemoryServiceError: Redis is away for all of them.
    """
    for entry, outcome in zip(entries, outcomes, strict=True):
        if isinstance(outcome, MemoryServiceError):
            raise outcome
        if isinstance(outcome, BaseException):
            logger.error("cannot sweep %s: %s", entry.history_key, type(outcome).__name__)
    return [outcome for outcome in outcomes if isinstance(outcome, str)]


async def _bring_overdue(shared: Services, celery: Celery) -> list[str]:
    """Store overdue results, one after the other, as long as it goes well."""
    outcomes: list[str] = []
    for late in await shared.async_memory.run(owed.overdue(shared.keyspace, limit=BATCH)):
        outcomes.append(await bring(shared, celery, late))
        if outcomes[-1] == STILL_OWED:
            break
    return outcomes


async def _sweep_waiting_models(shared: Services) -> None:
    """Call whoever is next wherever a place is free, and forget the lines in which nobody stands.

    Who gave the place back may have died before the next was woken, or have died holding it.
    """
    waiting_models = slots.waiting_models(shared.keyspace)
    now_ms, entries = await shared.async_memory.run_all(index.server_time_ms(), waiting_models)
    for entry in entries:
        try:
            is_idle = await _sweep_waiters(shared, entry.member)
        except (CorruptData, InvalidInput) as exc:
            logger.error("cannot call anybody to %s: %s", entry.member, exc)
            continue
        if is_idle and entry.seen_ms < now_ms - IDLE_MS:
            await shared.async_memory.run(index.forget(shared.keyspace.waiting_models, [entry]))


async def _sweep_waiters(shared: Services, tag: str) -> bool:
    """Call who is next to one model; whether nobody stands in its line."""
    at = shared.slots_at(slots.model_of(tag))
    if at is None:
        # Bounded no more: the mailboxes' own sweep wakes who stands in line.
        return True
    grant_next = shared.slot_notifier.grant_next(at)
    _, called, waiting = await shared.async_memory.run_all(at.expire(), grant_next, at.waiting())
    shared.slot_notifier.call(at, called)
    return not called and not waiting


async def _share_queue_wait(shared: Services, due: Due) -> None:
    """Learn how long wake-ups lie in the queue from who sees it, and tell where it is much."""
    seen_s = shared.queue_wait.lately_s()
    if PATIENCE * seen_s > shared.settings.queue.grace_s:
        await shared.async_memory.run(due.share_queue_wait(round(seen_s * 1000)))
    shared.queue_wait.hear(await shared.async_memory.run(due.queue_wait_ms()) / 1000)


async def _sweep_one(shared: Services, celery: Celery, due: Due, entry: DueEntry) -> str:
    memory, grace_ms = shared.async_memory, shared.grace_ms
    mailbox = due.mailbox(entry)
    if mailbox is None:
        logger.error("%r is no history's key; dropped from the sweeper's list", entry.history_key)
        await memory.run(due.forget(entry))
        return "FORGOTTEN"
    try:
        swept, untold = await memory.run_all(mailbox.sweep(grace_ms), intake.untold(mailbox.keys))
    except CorruptData as exc:
        logger.error("cannot sweep %s: %s", entry.history_key, exc)
        await memory.run(due.put_off(entry, CORRUPT_PAUSE_MS))
        return "CORRUPT"
    is_published = True
    if swept.outcome is SweepOutcome.WAKE:
        passing(CrashPoint.SWEEP_WAKE)
        is_published = await asyncio.to_thread(wake, celery, mailbox.keys, swept.head)
    # After the wake-up: where results cannot be stored, it takes seconds.
    is_told = not untold or await asyncio.to_thread(
        tell_untold, celery, shared, mailbox.keys, untold
    )
    if not is_published:
        await memory.run(mailbox.unwake())
        return "UNPUBLISHED"
    if is_told:
        await memory.run(due.settle(entry, swept, grace_ms=grace_ms))
    else:
        await memory.run(due.put_off(entry, UNTOLD_PAUSE_MS))
    return swept.outcome.value

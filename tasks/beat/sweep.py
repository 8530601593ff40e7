"""The sweeper: lost wake-ups of mailboxes, free slots, results that a dead worker owes.

It runs as a timer in every worker and as a beat task; any number may run at once.
"""

import asyncio
import logging
from collections import Counter

from celery import Celery

from memory import Due, MemoryServiceError
from tasks.beat.mailbox_sweep import MailboxSweep, guarded
from tasks.beat.overdue import OverdueResults
from tasks.beat.schedule import SWEEP_TASK
from tasks.beat.slot_sweep import SlotSweep
from tasks.process.app import app
from tasks.process.services import worker_services
from tasks.submit.producer import producer

logger = logging.getLogger(__name__)


@app.task(name=SWEEP_TASK, ignore_result=True)
def sweep() -> dict[str, int]:
    """Look once at every mailbox that is due; how many of each outcome."""
    return dict(worker_services().runtime.run(sweep_once(app)))


async def sweep_once(celery: Celery) -> Counter[str]:
    """Sweep mailboxes, slots and overdue results once. Raises MemoryServiceError."""
    worker = worker_services()
    memory, keyspace = worker.memory, worker.keyspace
    due = Due(keyspace)
    mailboxes = MailboxSweep(celery, memory, due, worker.queue_wait, producer().untold_ends)
    slots = SlotSweep(memory, keyspace, worker.bounded_models, worker.slot_notifier)
    history_max = worker.settings.memory.history_max_messages
    overdue = OverdueResults(celery, memory, keyspace, history_max=history_max)
    outcomes = await mailboxes.run()
    await slots.run()
    return Counter([*outcomes, *await overdue.store()])


async def sweep_forever(celery: Celery) -> None:
    """Sweep every CHAT_SWEEP_SECONDS until cancelled; an outage of Redis is logged once.

    Nothing ends it: what is found in one mailbox must not cost all others their wake-ups.
    """
    pause_s = worker_services().settings.queue.sweep_s
    is_away = False
    while True:
        await asyncio.sleep(pause_s)
        was_away, is_away = is_away, False
        try:
            await guarded(sweep_once(celery), "finish this sweep, the next one tries again")
        except MemoryServiceError as exc:
            is_away = True
            if not was_away:
                logger.warning("the sweeper cannot reach Redis and tries again: %s", exc)

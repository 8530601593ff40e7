"""The sweeper: lost wake-ups, free slots, ends that nobody has delivered, servers that are back,
delayed jobs that are due, schedules, and webhooks.

It runs as a timer in every worker and as a beat task; any number may run at once.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine

from celery import Celery

from memory import CorruptData, Due, MemoryServiceError, SweepOutcome
from tasks.beat.delayed_sweep import DelayedSweep
from tasks.beat.mailbox_sweep import MailboxSweep, guarded
from tasks.beat.outage_sweep import OutageSweep
from tasks.beat.outbox_sweep import OutboxSweep
from tasks.beat.schedule import SWEEP_TASK
from tasks.beat.seconds import rest
from tasks.beat.slot_sweep import SlotSweep
from tasks.beat.tick_sweep import TickSweep
from tasks.process.app import app
from tasks.process.per_process import PerProcess
from tasks.process.worker.services import worker_services
from tasks.submit.producer import producer
from telemetry.metrics import SWEEP_MENDED, SWEEPS, WAKEUPS_LOST

logger = logging.getLogger(__name__)

MAINTENANCE = "maintenance"
"""How the name of the queue of maintenance ends."""


# Every few seconds: its events would fill Flower's list. What goes wrong is in the log.
@app.task(name=SWEEP_TASK, ignore_result=True, send_events=False)
def sweep() -> dict[str, int]:
    """Look once at every mailbox and every outbox that is due; how many of each outcome."""
    runtime = worker_services().runtime
    outcomes = runtime.run(sweep_once(app))
    return {**outcomes, "DELIVERED": runtime.run(deliver_once(app))}


async def sweep_once(celery: Celery) -> Counter[str]:
    """Sweep mailboxes and slots once. Raises MemoryServiceError."""
    worker = worker_services()
    memory, keyspace = worker.memory, worker.keyspace
    mailboxes = MailboxSweep(
        celery,
        memory,
        Due(keyspace),
        worker.queue_wait,
        wakers=worker.wakers,
        ends=worker.ends,
    )
    slots = SlotSweep(memory, keyspace, worker.bounded_models, worker.slot_notifier)
    outcomes = await mailboxes.run()
    await slots.run()
    counted = Counter(outcomes)
    SWEEPS.inc()
    WAKEUPS_LOST.inc(counted[SweepOutcome.WAKE.value])
    for outcome, how_many in counted.items():
        SWEEP_MENDED.labels(outcome.lower()).inc(how_many)
    return counted


async def deliver_once(_: Celery) -> int:
    """Deliver the ends that nobody has delivered; of how many sessions. Raises
    MemoryServiceError."""
    worker = worker_services()
    delivered = await OutboxSweep(worker.memory, worker.keyspace, worker.ends).run()
    SWEEP_MENDED.labels("delivered").inc(delivered)
    return delivered


def _make_delayed_sweep() -> DelayedSweep:
    worker = worker_services()
    return DelayedSweep(
        worker.memory,
        worker.keyspace,
        producer(),
        app=app,
        owners_of=worker.settings.owners_of,
        wakers=worker.wakers,
    )


_delayed_sweep = PerProcess(_make_delayed_sweep)


async def take_in_once(celery: Celery) -> int:
    """Take in the delayed jobs that are due; how many. Raises MemoryServiceError.

    A worker that does maintenance only leaves that to others: it sends no jobs.
    """
    return 0 if _does_maintenance_only(celery) else await _delayed_sweep().run()


async def tick_once(celery: Celery) -> int:
    """Send what is scheduled for now; how many messages. Raises MemoryServiceError.

    A worker that does maintenance only leaves that to others: it sends no jobs.
    """
    if _does_maintenance_only(celery):
        return 0
    worker = worker_services()
    return await TickSweep(worker.memory, worker.keyspace, producer()).run()


async def look_once(celery: Celery) -> None:
    """Look once at the model servers that are away. Raises MemoryServiceError.

    A worker that does maintenance only leaves that to others: it may have no way to the servers.
    """
    if _does_maintenance_only(celery):
        return
    worker = worker_services()
    sweep = OutageSweep(
        worker.memory, worker.keyspace, worker.ollama, worker.outages, worker.head_waker
    )
    await sweep.run()


async def _for_a_second(_: float) -> None:
    await rest(1.0)


def _does_maintenance_only(celery: Celery) -> bool:
    return all(queue.endswith(MAINTENANCE) for queue in celery.amqp.queues.consume_from)


async def sweep_forever(celery: Celery) -> None:
    """Sweep every CHAT_SWEEP_SECONDS until cancelled; an outage of Redis is logged once.

    Nothing ends it: what is found in one mailbox must not cost all others their wake-ups. Nor does
    a slow server of results, or of models, hold wake-ups up: they have tasks of their own.
    """
    away = set[str]()
    await asyncio.gather(
        _repeat(celery, sweep_once, rest, away),
        _repeat(celery, take_in_once, _delayed_sweep().until_next, away),
        _repeat(celery, tick_once, _for_a_second, away),
        _repeat(celery, deliver_once, rest, away),
        _repeat(celery, look_once, worker_services().outages.until_next_look, away),
        _send_webhooks(),
    )


async def _send_webhooks() -> None:
    """Others send them where this process was not told to whom, or how to sign."""
    worker = worker_services()
    if worker.settings.webhooks.can_send:
        await worker.webhooks.run_forever()


async def _repeat(
    celery: Celery,
    work: Callable[[Celery], Coroutine[object, object, object]],
    pause: Callable[[float], Coroutine[object, object, None]],
    away: set[str],
) -> None:
    """`away` has the works that did not reach Redis the last time: the first of them says it."""
    pause_s = worker_services().settings.queue.sweep_s
    while True:
        await pause(pause_s)
        try:
            await guarded(work(celery), "finish this sweep; the next one tries again")
            away.discard(work.__name__)
        except CorruptData as exc:
            logger.error(
                "the sweep stopped early; it stays incomplete until a key is repaired: %s", exc
            )
        except MemoryServiceError as exc:
            if not away:
                logger.warning("the sweeper cannot reach Redis; it tries again: %s", exc)
            away.add(work.__name__)

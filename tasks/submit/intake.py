"""Taking a job in while others of its session run or wait: what it asks, and what follows for them.

docs/job-lifecycle.md says what each `on_busy` does. The mailbox decides it in one operation; all
that is left is to tell those concerned, which may be repeated and may be done by anyone.
"""

import logging

from celery import Celery

from memory import (
    Backpressure,
    Enqueued,
    EnqueueOutcome,
    Intake,
    MemoryServiceError,
    OnBusy,
    SessionKeys,
    Waiting,
    events,
)
from tasks.errors import JobConflict, SessionBusy
from tasks.job.job import ChatJob
from tasks.process.wakeup import wake
from tasks.process.wiring import Services
from tasks.submit.untold import tell_untold

logger = logging.getLogger(__name__)


def intake_of(shared: Services, job_id: str, job: ChatJob, packed: bytes, *, cap: int) -> Intake:
    """How a job goes into its mailbox, which holds `cap` jobs at most."""
    return Intake(
        job_id=job_id,
        envelope=packed,
        cap=cap,
        on_busy=job.on_busy,
        request=job.request,
        merged_bytes=shared.settings.queue.max_message_bytes,
        ttl_s=shared.settings.memory.default_ttl_s,
    )


def check_taken_in(job: ChatJob, job_id: str, enqueued: Enqueued) -> None:
    """Raise what says why a job was not taken in: JobConflict, SessionBusy, memory.Backpressure."""
    if enqueued.outcome is EnqueueOutcome.CONFLICT:
        name = "task_id" if job.idempotency_key is None else "idempotency_key"
        raise JobConflict(
            f"this {name} was used for another request (job {job_id}): take a new one"
        )
    if enqueued.outcome is EnqueueOutcome.FULL:
        if job.on_busy is OnBusy.REJECT:
            raise SessionBusy.with_job(job.agent_id, job.session_id, enqueued.first)
        raise Backpressure(job.agent_id, job.session_id, enqueued.pending)


def has_effects(enqueued: Enqueued) -> bool:
    """Whether a job did something to others that they do not know yet."""
    return bool(enqueued.stopping or enqueued.wake or enqueued.untold)


def see_to_others(app: Celery, shared: Services, keys: SessionKeys, enqueued: Enqueued) -> None:
    """Tell the others what a job did to them. Safe to repeat.

    A failure is logged and harmless: who renews a lease looks whether it is to stop, and the
    sweeper wakes and tells.
    """
    if enqueued.stopping:
        try:
            shared.memory.run(events.announce_stop(shared.keyspace, enqueued.stopping))
        except MemoryServiceError as exc:
            logger.warning("end of job %s not announced: %s", enqueued.stopping, exc)
    if enqueued.wake:
        wake(app, keys, Waiting(enqueued.wake, b""))
    tell_untold(app, shared, keys, enqueued.untold)

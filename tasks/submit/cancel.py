"""Cancelling a job: taken out of its mailbox if it waits, stopped at the model if it runs."""

import logging
import time
import uuid
from enum import StrEnum

from celery import Celery

from memory import (
    Connection,
    DiscardOutcome,
    Ending,
    Keyspace,
    Mailbox,
    MemoryServiceError,
    StopPolicy,
    audit,
    events,
    locate,
)
from memory.ids import shown_id
from tasks.end.delivery import Delivery, deliver_ends
from tasks.errors import NotAccepted
from tasks.process.services import ProducerServices, producer_services
from tasks.process.wakeup import wake
from tasks.submit.follow import unknown_job

logger = logging.getLogger(__name__)

REASON = "cancelled"
TRIES = 20
PAUSE_S = 0.05


class CancelOutcome(StrEnum):
    """What a cancel has come to."""

    CANCELLED = "cancelled"
    """It waited; it is out, and will never run."""
    STOPPING = "stopping"
    """It runs; its worker is notified, and closes the model's connection within a second."""
    ALREADY = "already"
    """It was cancelled, or had failed, before."""
    DONE = "done"
    """Too late: its turn is committed."""


def cancel(app: Celery, job_id: str, policy: StopPolicy | None = None) -> CancelOutcome:
    """Cancel a job from any process. Safe to repeat.

    `policy` says what becomes of a turn that runs: `keep` records the message and the answer as far
    as it came, marked as cancelled; `discard` records nothing; None takes CHAT_CANCEL_POLICY. It
    stays cancelled whatever dies. It is in the audit (`griot audit`), or a log says why not. Raises
    InvalidJob for an id that nobody knows, and memory.MemoryServiceError.
    """
    services = producer_services()
    keys = services.memory.run(locate(services.keyspace, job_id))
    if keys is None:
        raise unknown_job(job_id)
    mailbox = Mailbox(services.keyspace, keys)
    chosen = policy or StopPolicy(services.settings.queue.cancel_policy)
    found = audit.recorded(
        services.memory,
        services.keyspace,
        audit.Deed.CANCEL,
        agent_id=keys.agent_id,
        session_id=keys.session_id,
        job_id=job_id,
    )
    with found as entry:
        outcome = _cancel(app, services, mailbox, job_id, chosen)
        entry.outcome = outcome.value
    return outcome


def _cancel(
    app: Celery, services: ProducerServices, mailbox: Mailbox, job_id: str, chosen: StopPolicy
) -> CancelOutcome:
    # Two scripts, each atomic: the job may begin or end between them (docs/decisions.md,
    # "Cancelling").
    for _ in range(TRIES):
        outcome = _take_out(app, services, mailbox, job_id) or _stop(
            services, mailbox, job_id, chosen
        )
        if outcome is not None:
            return outcome
        # Between the two looks it began or ended to run.
        time.sleep(PAUSE_S)
    raise NotAccepted(f"job {shown_id(job_id)} keeps starting and stopping: cancel it again")


def _take_out(
    app: Celery, services: ProducerServices, mailbox: Mailbox, job_id: str
) -> CancelOutcome | None:
    """Take a waiting job out; None where it runs."""
    owner = uuid.uuid4().hex
    calls = mailbox.discard(
        job_id,
        REASON,
        owner=owner,
        ending=Ending.CANCELLED,
        ttl_s=services.settings.ttl_of(mailbox.keys.agent_id),
        grace_ms=services.queue_wait.grace_ms,
    )
    discarded = services.memory.run_last(*calls)
    match discarded.outcome:
        case DiscardOutcome.RUNNING:
            return None
        case DiscardOutcome.DONE:
            return CancelOutcome.DONE
        case DiscardOutcome.GONE | DiscardOutcome.DISCARDED as outcome:
            wake(app, mailbox.keys, discarded.next)
            deliver_ends(
                Delivery(app),
                services.memory,
                services.keyspace,
                mailbox.keys,
                owner=owner,
                claim_ms=services.queue_wait.grace_ms,
            )
            is_new = outcome is DiscardOutcome.DISCARDED
            return CancelOutcome.CANCELLED if is_new else CancelOutcome.ALREADY


def _stop(
    services: ProducerServices, mailbox: Mailbox, job_id: str, policy: StopPolicy
) -> CancelOutcome | None:
    """Have the job's worker stop it; None where it does not run."""
    if not services.memory.run(mailbox.stop(job_id, policy)):
        return None
    announce_stop(services.memory, services.keyspace, job_id)
    return CancelOutcome.STOPPING


def announce_stop(memory: Connection, keyspace: Keyspace, job_id: str) -> None:
    """Have the worker of a job look at once whether it is to stop, which its mailbox says.

    A failure is logged and harmless: each renewal of a lease looks, too.
    """
    try:
        memory.run(events.announce_stop(keyspace, job_id))
    except MemoryServiceError as exc:
        logger.warning(
            "the cancellation of job %s cannot be announced; the job stops at the next "
            "renewal of its lease: %s",
            shown_id(job_id),
            exc,
        )

"""A raw send_task arrives at a worker: its job goes into the mailbox as its `on_busy` says."""

import asyncio
import logging

from memory import Enqueued, Mailbox, OnBusy
from memory.mailbox.mailbox import NO_CAP
from tasks.attempt.lease_holder import JobRef
from tasks.errors import JobConflict, SessionBusy
from tasks.job.job import Envelope
from tasks.process.app import app
from tasks.process.wiring import Services
from tasks.submit.intake import check_taken_in, has_effects, intake_of, see_to_others

logger = logging.getLogger(__name__)


async def arrive(services: Services, ref: JobRef) -> SessionBusy | None:
    """Take in a raw job that does more than wait behind others; what refused it, if anything did.

    All others are taken in together with ACQUIRE. Safe to repeat: the same id is taken in once.
    Raises MemoryServiceError.
    """
    if ref.envelope is None:
        return None
    job = Envelope.unpack(ref.envelope).job
    if job.on_busy is OnBusy.ENQUEUE:
        return None
    mailbox = Mailbox.of(services.keyspace, ref.agent_id, ref.session_id)
    intake = intake_of(services, ref.job_id, job, ref.envelope, cap=NO_CAP)
    calls = mailbox.take_in(intake, grace_ms=services.grace_ms)
    enqueued: Enqueued = await services.async_memory.run_last(*calls)
    try:
        check_taken_in(job, ref.job_id, enqueued)
    except SessionBusy as refused:
        return refused
    except JobConflict as conflict:
        # The task's id is another job's, whose result must stay: a wake-up of that one, no more.
        logger.warning("raw job not taken in: %s", conflict)
    if has_effects(enqueued):
        await asyncio.to_thread(see_to_others, app, services, mailbox.keys, enqueued)
    return None

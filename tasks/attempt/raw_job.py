"""A raw `send_task` reaches a worker: its job goes into the mailbox as its `on_busy` says."""

import asyncio
import logging

from memory import AsyncConnection, Enqueued, OnBusy
from memory.mailbox.mailbox import NO_CAP
from tasks.errors import JobConflict, SessionBusy
from tasks.job.job_ref import JobRef
from tasks.submit.producer import Producer, has_effects

logger = logging.getLogger(__name__)


async def take_in_raw(
    producer: Producer, memory: AsyncConnection, ref: JobRef
) -> SessionBusy | None:
    """Take in a raw job that does more than wait behind others; what refused it, if anything did.

    All others are taken in together with ACQUIRE. Safe to repeat: the same id is taken in once.
    Raises MemoryServiceError.
    """
    if ref.envelope is None or ref.envelope.job.on_busy is OnBusy.ENQUEUE:
        return None
    submission = producer.submission(ref.envelope, ref.job_id, cap=NO_CAP)
    enqueued: Enqueued = await memory.run_last(*submission.commands)
    try:
        submission.check(enqueued)
    except SessionBusy as refused:
        return refused
    except JobConflict as conflict:
        # The task's id is another job's, whose result must stay: a wake-up of that one, no more
        # (docs/decisions.md, "What makes two requests the same").
        logger.warning(
            "a raw job is not taken in, its message only wakes the other job: %s", conflict
        )
    if has_effects(enqueued):
        await asyncio.to_thread(producer.see_to_others, submission.keys, enqueued)
    return None

"""Storing the results that a dead worker still owes (`memory.mailbox.owed`), from the mailbox.

Whoever sweeps stores them itself: a message that asked for it might lie in a queue that nobody
consumes, for the one of the job is not known any more.
"""

import asyncio
import logging

from celery import Celery
from celery.states import READY_STATES
from kombu.exceptions import OperationalError

from memory import (
    Mailbox,
    SessionKeys,
    dead_letters,
    locate,
    owed,
)
from tasks.attempt.committed import committed_result
from tasks.errors import JobFailed
from tasks.job.result import ChatResult
from tasks.process.wiring import Services

logger = logging.getLogger(__name__)

CANCELLED = "cancelled"
STILL_OWED = "STILL_OWED"
"""What `bring` answers where the result cannot be stored now."""


async def bring(shared: Services, celery: Celery, late: owed.OwedResult) -> str:
    """See to one overdue result; what it came to. Raises MemoryServiceError.

    Safe to repeat, and for several sweepers at once. A result that is there stays as it is; one
    that cannot be stored is tried again in ten minutes.
    """
    memory, keyspace = shared.async_memory, shared.keyspace
    keys = await memory.run(locate(keyspace, late.job_id))
    is_committed = None
    if keys is not None:
        is_committed = await memory.run(Mailbox(keyspace, keys).is_committed(late.job_id))
    if keys is None or is_committed is None:
        # Its end did not come about, or is too long ago.
        await memory.run(owed.stored(keyspace, [late.job_id]))
        return "NOT_OWED"
    end = await _end(shared, keys, late.job_id, is_committed=is_committed)
    backend = celery.backend
    refusals = (*backend.connection_errors, *backend.channel_errors)  # out of memory, too
    try:
        await asyncio.to_thread(_store, celery, late.job_id, end)
    except (OperationalError, *refusals) as exc:
        logger.warning("result of job %s still not stored: %s", late.job_id, exc)
        await memory.run(owed.put_off(keyspace, late))
        return STILL_OWED
    await memory.run(owed.stored(keyspace, [late.job_id]))
    return "BROUGHT"


async def _end(
    shared: Services, keys: SessionKeys, job_id: str, *, is_committed: bool
) -> ChatResult | JobFailed | None:
    """How a job has ended: with a result, with a failure, or cancelled (None)."""
    memory, mailbox = shared.async_memory, Mailbox(shared.keyspace, keys)
    if not is_committed:
        letter = (await memory.run(dead_letters.letters(mailbox))).find(job_id)
        return None if letter is None else JobFailed(letter.reason)
    limit = shared.settings.memory.history_max_messages
    stored = await memory.run(mailbox.reply_of(job_id, limit=limit))
    return committed_result(job_id, keys.agent_id, keys.session_id, stored)


def _store(celery: Celery, job_id: str, end: ChatResult | JobFailed | None) -> None:
    backend = celery.backend
    if backend.get_state(job_id) in READY_STATES:
        return
    if end is None:
        backend.mark_as_revoked(job_id, CANCELLED)
    elif isinstance(end, JobFailed):
        backend.mark_as_failure(job_id, end)
    else:
        backend.mark_as_done(job_id, end)

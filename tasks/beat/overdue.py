"""Storing the results that a dead worker still owes (`memory.mailbox.owed`), from the mailbox.

The sweeper stores them itself: a message that asked for it might lie in a queue that nobody
consumes, for the queue of the job is not known any more (docs/decisions.md, "Owed results").
"""

import asyncio
import logging

from celery import Celery
from celery.states import READY_STATES
from kombu.exceptions import OperationalError

from memory import AsyncConnection, Keyspace, Mailbox, SessionKeys, dead_letters, locate, owed
from tasks.errors import JobFailed
from tasks.job.result import ChatResult, committed_result

logger = logging.getLogger(__name__)

BATCH = 500
CANCELLED = "cancelled"
STILL_OWED = "STILL_OWED"


class OverdueResults:
    """Stores overdue results; used on the event loop. Several sweepers may do so at once."""

    def __init__(
        self, app: Celery, memory: AsyncConnection, keyspace: Keyspace, *, history_max: int
    ) -> None:
        """`history_max`: the messages of a history in which a reply may lie."""
        self._app = app
        self._memory = memory
        self._keyspace = keyspace
        self._history_max = history_max

    async def store(self) -> list[str]:
        """Store what is overdue, one after the other, as long as that works; the outcomes.

        Raises MemoryServiceError.
        """
        outcomes: list[str] = []
        for late in await self._memory.run(owed.overdue(self._keyspace, limit=BATCH)):
            outcomes.append(await self._store_one(late))
            if outcomes[-1] == STILL_OWED:
                break
        return outcomes

    async def _store_one(self, late: owed.OwedResult) -> str:
        """See to one overdue result. One that is there stays; one that cannot be stored is tried
        again in ten minutes."""
        memory, keyspace = self._memory, self._keyspace
        keys = await memory.run(locate(keyspace, late.job_id))
        is_committed = None
        if keys is not None:
            is_committed = await memory.run(Mailbox(keyspace, keys).is_committed(late.job_id))
        if keys is None or is_committed is None:
            # Its end did not come about, or is too long ago.
            await memory.run(owed.stored(keyspace, [late.job_id]))
            return "NOT_OWED"
        end = await self._end_of(keys, late.job_id, is_committed=is_committed)
        backend = self._app.backend
        refusals = (*backend.connection_errors, *backend.channel_errors)  # out of memory, too
        try:
            await asyncio.to_thread(self._write, late.job_id, end)
        except (OperationalError, *refusals) as exc:
            logger.warning(
                "the result of job %s is not stored, the next try is in ten minutes: %s",
                late.job_id,
                exc,
            )
            await memory.run(owed.put_off(keyspace, late))
            return STILL_OWED
        await memory.run(owed.stored(keyspace, [late.job_id]))
        return "STORED"

    async def _end_of(
        self, keys: SessionKeys, job_id: str, *, is_committed: bool
    ) -> ChatResult | JobFailed | None:
        """How a job has ended: with a result, with a failure, or cancelled (None)."""
        mailbox = Mailbox(self._keyspace, keys)
        if not is_committed:
            letter = (await self._memory.run(dead_letters.letters(mailbox))).find(job_id)
            return None if letter is None else JobFailed(letter.reason)
        stored = await self._memory.run(mailbox.reply_of(job_id, limit=self._history_max))
        return committed_result(job_id, keys.agent_id, keys.session_id, stored)

    def _write(self, job_id: str, end: ChatResult | JobFailed | None) -> None:
        backend = self._app.backend
        if backend.get_state(job_id) in READY_STATES:
            return
        if end is None:
            backend.mark_as_revoked(job_id, CANCELLED)
        elif isinstance(end, JobFailed):
            backend.mark_as_failure(job_id, end)
        else:
            backend.mark_as_done(job_id, end)

"""The look at delayed jobs: those that are due take their places in their sessions."""

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from celery import Celery

from memory import (
    AsyncConnection,
    CannotRead,
    Command,
    CorruptData,
    DueEntry,
    Enqueued,
    EnqueueOutcome,
    Intake,
    JobToWake,
    Keyspace,
    Mailbox,
    Request,
    SessionKeys,
    decrypted_envelope,
)
from memory.ids import shown_id
from memory.mailbox.delayed import delayed_sessions, ripe
from memory.mailbox.mailbox import NO_CAP
from memory.mailbox.pointer import digest_of
from memory.quotas import pending
from memory.quotas.owners import Owner
from memory.quoting import quoted
from tasks.beat.mailbox_sweep import guarded
from tasks.beat.seconds import rest
from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope
from tasks.process.redis_clock import redis_clock
from tasks.process.wakeup import wake_job
from tasks.submit.producer import Producer, has_effects
from tasks.submit.submission import Submission

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How late a job may be that was sent a moment before it is due."""
SCATTER_S = 0.02
"""Workers that wake for the same job do so one after the other."""
BATCH = 100
CLAIM_MS = 5000
"""Who takes a session's jobs in has so long; then another one looks."""
PAUSE_MS = 600_000
KEY_PAUSE_MS = 60_000


@dataclass(frozen=True, slots=True)
class _DueJob:
    """A job that is due, as it is sent; without an envelope where that cannot be read."""

    job_id: str
    commands: tuple[*tuple[Command[object], ...], Command[Enqueued]]
    submission: Submission | None = None


class DelayedSweep:
    """Takes delayed jobs in, as their senders would now; used on the event loop.

    Any number may work at once, each on all sessions: one gets a session's entry, and what is taken
    in twice is there once. What a due job does to others, and to whom, its `on_busy` says.
    """

    def __init__(
        self,
        memory: AsyncConnection,
        keyspace: Keyspace,
        producer: Producer,
        *,
        app: Celery,
        owners_of: Callable[[str, str | None], tuple[Owner, ...]],
        wakers: Executor,
    ) -> None:
        """`owners_of` says for whom a job of an agent and a user counts; `wakers` publishes
        wake-ups."""
        self._memory = memory
        self._keyspace = keyspace
        self._delayed = delayed_sessions(keyspace)
        self._producer = producer
        self._app = app
        self._owners_of = owners_of
        self._wakers = wakers
        self._next_at_s: float | None = None

    async def run(self) -> int:
        """Take in what is due now; how many jobs. Raises MemoryServiceError."""
        entries, next_at_ms = await self._memory.run_all(
            redis_clock().read_by(self._delayed.entries(limit=BATCH)), self._delayed.next_at_ms()
        )
        self._next_at_s = None if next_at_ms is None else next_at_ms / 1000
        looks = (
            guarded(self._look_at(entry), f"take in delayed jobs of {entry.history_key}")
            for entry in entries
        )
        taken = await asyncio.gather(*looks, return_exceptions=True)
        for one in taken:
            if isinstance(one, BaseException):
                raise one
        return sum(one for one in taken if isinstance(one, int))

    async def until_next(self, _: float) -> None:
        """Until the next job is due that is known, at most LOOK_S."""
        now_s = redis_clock().now_s
        if self._next_at_s is None or now_s is None or self._next_at_s - now_s >= LOOK_S:
            await rest(LOOK_S)
            return
        wait_s = max(0.0, self._next_at_s - now_s)
        await asyncio.sleep(wait_s + random.uniform(0, SCATTER_S))  # noqa: S311 - no secret

    async def _look_at(self, entry: DueEntry) -> int:
        keys = self._keyspace.find_session(entry.history_key)
        if keys is None:
            name = quoted(entry.history_key)
            logger.warning("%s is not the key of a history; its delayed jobs are not run", name)
            await self._memory.run(self._delayed.forget(entry))
            return 0
        try:
            return await self._take_in_due(entry, keys)
        except CorruptData as exc:
            logger.error(
                "delayed jobs of %s wait until its key is repaired; the next try is in ten "
                "minutes: %s",
                keys.history,
                exc,
            )
            await self._memory.run(self._delayed.put_off(entry, PAUSE_MS))
            return 0

    async def _take_in_due(self, entry: DueEntry, keys: SessionKeys) -> int:
        memory, delayed = self._memory, self._delayed
        due = await memory.run(ripe(keys, limit=BATCH))
        if not due.jobs:
            is_empty = due.wait_ms is None
            later = delayed.leave(entry) if is_empty else delayed.put_off(entry, due.wait_ms or 0)
            await memory.run(later)
            return 0
        prepared = [await self._prepared(keys, job) for job in due.jobs]
        jobs = [job for job in prepared if job is not None]
        # Claimed before anything is done: of many workers that look at once one does it.
        claim_ms = CLAIM_MS if len(jobs) == len(prepared) else KEY_PAUSE_MS
        if not await memory.run(delayed.put_off(entry, claim_ms)):
            return 0
        for job in jobs:
            await self._send(keys, job)
        if due.wait_ms is not None:
            await memory.run(delayed.look_in(keys, due.wait_ms))
        return len(jobs)

    async def _prepared(self, keys: SessionKeys, job: JobToWake) -> _DueJob | None:
        """What is to be sent for a job; None: no key of this process decrypts it."""
        digest = await self._memory.run(digest_of(self._keyspace, job.job_id))
        try:
            envelope = Envelope.of(keys, job)
            asked = envelope.job.request
            # As it was sent: another version may reckon its digest otherwise.
            request = asked if digest is None else replace(asked, digest=digest)
            sent = self._producer.submission(envelope, job.job_id, cap=NO_CAP, delayed_as=request)
            return _DueJob(job.job_id, sent.commands, sent)
        except InvalidJob:
            # Who runs it finds out, and makes it a dead letter.
            request = Request() if digest is None else Request(digest)
            plain = decrypted_envelope(keys, job.job_id, job.envelope)
            intake = Intake(job.job_id, plain, NO_CAP, request=request)
            return _DueJob(
                job.job_id, Mailbox(self._keyspace, keys).take_in(intake, grace_ms=CLAIM_MS)
            )
        except CannotRead as exc:
            logger.error("job %s is due and waits: %s", shown_id(job.job_id), exc)
            return None

    async def _send(self, keys: SessionKeys, job: _DueJob) -> None:
        """Put one job into its place, and wake whoever is to act. Safe to repeat."""
        sent = job.submission
        if sent is not None and sent.claim is not None:
            await self._memory.run(sent.claim)
        owners = self._owners_of(keys.agent_id, None if sent is None else sent.job.user)
        note = pending.note(self._keyspace, job.job_id, owners)
        enqueued = await self._memory.run_last(note, *job.commands)
        if enqueued.outcome is EnqueueOutcome.DONE:
            await self._memory.run(pending.release(self._keyspace, (job.job_id,)))
        if sent is not None and has_effects(enqueued):
            await asyncio.to_thread(self._producer.apply_effects, sent, enqueued)
        if enqueued.position == 0:
            envelope = None if sent is None else sent.envelope
            await asyncio.get_running_loop().run_in_executor(
                self._wakers, wake_job, self._app, keys, job.job_id, envelope
            )

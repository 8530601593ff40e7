"""What one attempt asks of its session's mailbox, under the lease that it holds."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from memory import (
    Acquired,
    AsyncConnection,
    Command,
    Committed,
    CorruptData,
    Discarded,
    Event,
    LastAttempt,
    Mailbox,
    MemoryUnavailable,
    Slots,
    SlotWait,
    StopPolicy,
    dead_letters,
    events,
    index,
    owed,
    users,
)
from memory.slots.slots import SLOT_WAIT_MS
from tasks.attempt.slot_holder import SlotHolder
from tasks.job.envelope import JobRef
from tasks.job.result import ChatResult, committed_result
from tasks.process.configuration import Settings
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.lease import Lease, RunningLeases, Stoppable, renewed
from tasks.process.queue_wait import QueueWait

T = TypeVar("T")

logger = logging.getLogger(__name__)

COMMIT_PATIENCE_S = 60.0
COMMIT_PAUSE_S = 0.25


class LeaseHolder:
    """One try to hold the lease of one job, and a slot of its model where calls are bounded.

    What ends the lease releases the slot, in the same pipeline. Every method raises only
    MemoryServiceError.
    """

    def __init__(
        self,
        ref: JobRef,
        mailbox: Mailbox,
        memory: AsyncConnection,
        slot: SlotHolder,
        *,
        leases: RunningLeases,
        settings: Settings,
        queue_wait: QueueWait,
    ) -> None:
        """`slot` has the token of this try."""
        self.mailbox = mailbox
        self.slot = slot
        self._token = slot.token
        self._ref = ref
        self._memory = memory
        self._leases = leases
        self._queue = settings.queue
        self._kept = settings.memory
        self._queue_wait = queue_wait

    async def acquire(self, *before: Command[object], history_n: int) -> Acquired:
        """Ask for the job, with the last `history_n` messages of its session.

        The commands `before` go in the same pipeline.
        """
        raw_job = self._ref.envelope
        *others, acquire = self.mailbox.acquire(
            self._ref.job_id,
            None if raw_job is None else raw_job.pack(),
            self._token,
            lease_ms=self._queue.lease_ms,
            history_n=history_n,
            max_attempts=self._queue.max_attempts,
            grace_ms=self._queue_wait.grace_ms,
            request=None if raw_job is None else raw_job.job.request,
        )
        commands = [*before, *others]
        if raw_job is not None and raw_job.job.user is not None:
            keyspace = self.mailbox.keyspace
            commands[:0] = users.touch(keyspace, raw_job.job.user, self.mailbox.keys)
        return await self._memory.run_last(*commands, acquire)

    @asynccontextmanager
    async def renewing(self, stoppable: Stoppable) -> AsyncIterator[None]:
        """Renew lease and slot within the block; what ends them stops `stoppable`."""
        lease = Lease(
            self.mailbox, self._ref.job_id, self._token, self._queue.lease_ms, self.slot.held
        )
        with self._leases.holding(lease, stoppable):
            async with renewed(self._memory, lease, stoppable):
                yield

    async def wait_for_slot(self, slots: Slots) -> tuple[SlotWait, StopPolicy | None]:
        """Give the lease back, the attempt not counted, and wait for a slot: behind how many
        others, and how the job is to be stopped if somebody has cancelled it meanwhile."""
        giving_back = self.mailbox.fail(
            self._token,
            delay_ms=0,
            refund=True,
            slot_wait_ms=SLOT_WAIT_MS,
            grace_ms=self._queue_wait.grace_ms,
        )
        slot_wait = await self.slot.wait(slots, *giving_back)
        return slot_wait, await self._memory.run(self.mailbox.stop_asked(self._ref.job_id))

    async def commit(
        self, records: Sequence[bytes], last: Event, before: Sequence[Command[object]]
    ) -> Committed:
        """Write the turn and its last event; its result is owed from then on.

        The commands `before` go first, once. While Redis is away the commit is tried again: the
        answer has cost a model call.
        """
        look, commit = self.mailbox.commit(
            self._token,
            self._ref.job_id,
            records,
            keep=self._kept.history_max_messages,
            ttl_s=self._kept.default_ttl_s,
            grace_ms=self._queue_wait.grace_ms,
            event=events.packed(last),
        )
        # COMMIT never shortens a TTL that a caller has set longer (docs/decisions.md, "Mailbox").
        touches = index.touch(self.mailbox.keyspace, self._ref.agent_id, self._ref.session_id)
        # Noted in the same pipeline: the result lies on another server, and this process may die
        # before it stores it (docs/decisions.md, "Owed results").
        owe = self._owe()
        crash_if_armed(CrashPoint.BEFORE_COMMIT)
        deadline = time.monotonic() + COMMIT_PATIENCE_S
        while True:
            try:
                committed = await self._ending(*before, look, *touches, owe, commit)
            except MemoryUnavailable:
                if time.monotonic() >= deadline:
                    raise
                before = ()
                await asyncio.sleep(COMMIT_PAUSE_S)
            else:
                crash_if_armed(CrashPoint.AFTER_COMMIT)
                return committed

    async def fail(self, *, delay_s: float, refund: bool) -> None:
        """Give the lease back; the job may run again in `delay_s`."""
        calls = self.mailbox.fail(
            self._token,
            delay_ms=round(delay_s * 1000),
            refund=refund,
            grace_ms=self._queue_wait.grace_ms,
        )
        await self._ending(*calls)

    async def bury(self, reason: str) -> Discarded:
        """Make the job a dead letter."""
        note_dead = dead_letters.note(self.mailbox)
        return await self._ending(note_dead, self._owe(), *self._discard(reason, cancelled=False))

    async def withdraw(self, reason: str) -> Discarded:
        """Take the job out without a turn."""
        return await self._ending(self._owe(), *self._discard(reason, cancelled=True))

    async def note_dead(self) -> None:
        """Note that ACQUIRE has made the job a dead letter."""
        await self._memory.run_all(dead_letters.note(self.mailbox), self._owe())

    async def committed_result(self) -> ChatResult | None:
        """The result of the turn that this job has in the history; None: it was cancelled."""
        ref = self._ref
        reply_of = self.mailbox.reply_of(ref.job_id, limit=self._kept.history_max_messages)
        stored = await self._memory.run(reply_of)
        return committed_result(ref.job_id, ref.agent_id, ref.session_id, stored)

    async def why_dead(self) -> str | None:
        """Why this job, which is over without a turn, is a dead letter; None: it was cancelled."""
        found = await self._memory.run(dead_letters.letters(self.mailbox))
        letter = found.find(self._ref.job_id)
        return None if letter is None else letter.reason

    async def said_before(self) -> str:
        """What an attempt that has died said of the reply; empty where its events are gone."""
        attempt, before = LastAttempt(self._ref.job_id), events.NEWEST
        try:
            while not attempt.is_whole:
                page = await self._memory.run(events.read_back(self.mailbox.keys, before))
                attempt.take(page)
                before = events.before(page[-1].cursor) if page else before
        except CorruptData as exc:
            logger.warning("what job %s has said is lost, its events: %s", self._ref.job_id, exc)
        return attempt.text

    async def _ending(self, *commands: *tuple[*tuple[Command[object], ...], Command[T]]) -> T:
        """The answer to the last of these commands, which end the lease; the slot goes first."""
        releasing = self.slot.releasing()
        if releasing is None:
            return await self._memory.run_last(*commands)
        *before, last = commands
        granted, answer = await self._memory.run_last_two(*before, *releasing, last)
        self.slot.released(granted)
        return answer

    def _discard(self, reason: str, *, cancelled: bool) -> tuple[Command[int], Command[Discarded]]:
        return self.mailbox.discard(
            self._ref.job_id,
            reason,
            self._token,
            cancelled=cancelled,
            grace_ms=self._queue_wait.grace_ms,
        )

    def _owe(self) -> Command[int]:
        return owed.owe(self.mailbox.keyspace, self._ref.job_id, grace_ms=self._queue_wait.grace_ms)

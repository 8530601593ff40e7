"""The lease of one attempt: it is taken, renewed and given back, and what is asked under it."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from memory import (
    Acquired,
    AsyncConnection,
    Command,
    Committed,
    Discarded,
    Ending,
    Event,
    EventType,
    JobToWake,
    Mailbox,
    MemoryUnavailable,
    Slots,
    SlotWait,
    dead_letters,
    index,
    keep_pointer,
    locate,
)
from memory.mailbox import looks
from memory.mailbox.mailbox import RECORDED
from memory.quotas import charges, usage
from memory.quotas.owners import Owner
from memory.quotas.usage import Spent
from memory.records.event import packed, with_code
from memory.slots.slots import SLOT_WAIT_MS
from tasks.attempt.lost_attempt import said_before
from tasks.attempt.renewal import Lease, Renewal
from tasks.attempt.retry import MAX_ERROR_CHARS
from tasks.attempt.slot_holder import SlotHolder
from tasks.job.envelope import JobRef
from tasks.job.failure_code import FailureCode
from tasks.process.configuration import Settings
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.queue_wait import QueueWait
from tasks.process.redis_clock import redis_clock
from tasks.process.stopping import RunningLeases, Stoppable

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
        self.token = slot.token
        self._ref = ref
        self._memory = memory
        self._leases = leases
        self._queue = settings.queue
        self._kept = settings.memory
        self._ttl_s = settings.ttl_of(ref.agent_id)
        self._dead_bytes = settings.max_envelope_bytes
        self._queue_wait = queue_wait
        self._owners: Sequence[Owner] = ()
        self._spent: Callable[[], tuple[Spent, str]] = lambda: (Spent(), "")

    def charge(self, owners: Sequence[Owner], spent: Callable[[], tuple[Spent, str]]) -> None:
        """Charge the attempt's usage to the quotas of `owners` in the pipeline that ends the lease,
        however it ends. `spent` gives the usage so far, and its model. An attempt without a reply
        is counted as unfinished usage too."""
        self._owners, self._spent = owners, spent

    async def acquire(self, *before: Command[object], history_n: int) -> Acquired:
        """Ask for the job, with the last `history_n` messages of its session.

        The commands `before` go in the same pipeline.
        """
        acquire = self.mailbox.acquire(
            self._ref.job_id,
            self.token,
            lease_ms=self._queue.lease_ms,
            history_n=history_n,
            max_attempts=self._queue.max_attempts,
            ttl_s=self._ttl_s,
            grace_ms=self._queue_wait.grace_ms,
            dead_bytes=self._dead_bytes,
        )
        keep, look, ask = acquire
        return await self._memory.run_last(*before, keep, redis_clock().read_by(look), ask)

    def renewing(self, stoppable: Stoppable) -> Renewal:
        """Renew lease and slot within the block; what ends them stops `stoppable`."""
        lease = Lease(
            self.mailbox, self._ref.job_id, self.token, self._queue.lease_ms, self.slot.held
        )
        return Renewal(self._memory, lease, stoppable, self._leases)

    async def wait_for_slot(
        self, slots: Slots, acquired: Acquired
    ) -> tuple[SlotWait, JobToWake | None]:
        """Give the lease back without counting the attempt, and wait for a slot.

        Returns how many wait ahead, and the job if it must be woken now: it was cancelled
        meanwhile, or its session became more urgent.
        """
        giving_back = self.mailbox.fail(
            self.token,
            delay_ms=0,
            refund=True,
            slot_wait_ms=SLOT_WAIT_MS,
            grace_ms=self._queue_wait.grace_ms,
        )
        slot_wait = await self.slot.wait(slots, *giving_back)
        return slot_wait, await self._memory.run(self._asked(acquired))

    async def park(
        self,
        acquired: Acquired,
        before: Sequence[Command[object]],
        after: Sequence[Command[object]],
        *,
        for_ms: int,
        is_paused: bool = False,
    ) -> JobToWake | None:
        """Give lease and slot back without counting the attempt: the job waits for servers, or for
        the end of a pause. Returns the job if it must be woken now, as `wait_for_slot` does.

        The commands `before` and `after` go in the same pipeline: a session that is woken finds its
        lease given back. No sweeper wakes it for `for_ms`.
        """
        self.slot.call_none()
        giving_back = self.mailbox.fail(
            self.token,
            delay_ms=0,
            refund=True,
            slot_wait_ms=for_ms,
            is_outage=not is_paused,
            is_paused=is_paused,
            grace_ms=self._queue_wait.grace_ms,
        )
        commands: list[Command[object]] = [*before, *giving_back, *after]
        return await self._ending(*commands, self._asked(acquired))

    async def commit(
        self, records: Sequence[bytes], last: Event, before: Sequence[Command[object]]
    ) -> Committed:
        """Write the turn and its last event.

        The commands `before` go first, once. While Redis is away the commit is tried again: the
        answer has cost a model call.
        """
        look, commit = self.mailbox.commit(
            self.token,
            self._ref.job_id,
            records,
            keep=self._kept.held_messages,
            most_bytes=self._kept.held_bytes,
            ttl_s=self._ttl_s,
            grace_ms=self._queue_wait.grace_ms,
            event=packed(last, self.mailbox.keys.cipher),
        )
        # COMMIT never shortens a TTL that a caller has set longer (docs/decisions.md, "Mailbox").
        touches = index.touch(self.mailbox.keyspace, self._ref.agent_id, self._ref.session_id)
        crash_if_armed(CrashPoint.BEFORE_COMMIT)
        deadline = time.monotonic() + COMMIT_PATIENCE_S
        while True:
            try:
                is_turn = last.type is EventType.DONE
                first = (*before, look, *touches)
                committed = await self._ending(*first, commit, is_turn=is_turn)
            except MemoryUnavailable:
                if time.monotonic() >= deadline:
                    raise
                before = ()
                await asyncio.sleep(COMMIT_PAUSE_S)
            else:
                crash_if_armed(CrashPoint.AFTER_COMMIT)
                if is_turn and committed.outcome not in RECORDED:
                    await self._memory.run_each(self._unfinished())
                return committed

    async def fail(self, *, delay_s: float, refund: bool, error: str = "") -> None:
        """Give the lease back; the job may run again in `delay_s`. The `error` of an attempt that
        counts is kept for the dead letter."""
        calls = self.mailbox.fail(
            self.token,
            delay_ms=round(delay_s * 1000),
            refund=refund,
            grace_ms=self._queue_wait.grace_ms,
            error=error[:MAX_ERROR_CHARS],
        )
        await self._ending(*calls)

    async def bury(
        self, reason: str, code: FailureCode | None, before: Sequence[Command[object]]
    ) -> Discarded:
        """Make the job a dead letter. The commands `before` go first."""
        note = dead_letters.note(self.mailbox)
        keep = keep_pointer(self.mailbox.keyspace, self._ref.job_id)
        discard = self._discard(with_code(reason, code or ""), Ending.DEAD)
        return await self._ending(*before, note, keep, *discard)

    async def list_letter(self) -> None:
        """List the dead letter that ACQUIRE has made of the job."""
        keep = keep_pointer(self.mailbox.keyspace, self._ref.job_id)
        await self._memory.run_last(keep, dead_letters.note(self.mailbox))

    async def withdraw(self, reason: str, before: Sequence[Command[object]]) -> Discarded:
        """Take the job out without a turn. The commands `before` go first."""
        return await self._ending(*before, *self._discard(reason, Ending.CANCELLED))

    async def give_up(
        self, reason: str, code: FailureCode, before: Sequence[Command[object]]
    ) -> Discarded:
        """Have the job fail for good, without a dead letter. The commands `before` go first."""
        discard = self._discard(with_code(reason, code), Ending.FAILED)
        return await self._ending(*before, *discard)

    async def is_of_another_session(self) -> bool:
        """Whether the job's id stands for a job of another session."""
        keys = await self._memory.run(locate(self.mailbox.keyspace, self._ref.job_id))
        return keys is not None and keys != self.mailbox.keys

    async def said_before(self) -> str:
        """What an attempt that has died said of the reply; empty where its events are gone."""
        return await said_before(self._memory, self.mailbox.keys, self._ref)

    async def _ending(
        self,
        *commands: *tuple[*tuple[Command[object], ...], Command[T]],
        is_turn: bool = False,
    ) -> T:
        """The answer to the last of these commands, which end the lease. What the attempt has cost
        goes first, then the slot; what a turn has used is counted when its end is released."""
        keyspace, job_id, used = self.mailbox.keyspace, self._ref.job_id, self._spent()[0].tokens
        paying = charges.spend(keyspace, job_id, self._owners, used, lease_token=self.token)
        *others, last = commands
        before = [*paying, *(() if is_turn else self._unfinished()), *others]
        releasing = self.slot.releasing()
        if releasing is None:
            return await self._memory.run_last(*before, last)
        granted, answer = await self._memory.run_last_two(*before, *releasing, last)
        self.slot.released(granted)
        return answer

    def _asked(self, acquired: Acquired) -> Command[JobToWake | None]:
        # Who sends a job while a lease lives wakes nobody, and leaves it to its holder to look.
        return looks.asked_meanwhile(self.mailbox.keys, self._ref.job_id, acquired)

    def _unfinished(self) -> Sequence[Command[int]]:
        """Counts what the attempt has used without a reply, if anything. Safe to repeat."""
        spent, model = self._spent()
        if not spent.tokens:
            return ()
        rows = usage.rows_of(self._owners, model)
        return (usage.count_once(self.mailbox.keyspace, self.token, spent, rows),)

    def _discard(self, reason: str, ending: Ending) -> tuple[Command[int], Command[Discarded]]:
        return self.mailbox.discard(
            self._ref.job_id,
            reason,
            self.token,
            owner=self.token,
            ending=ending,
            ttl_s=self._ttl_s,
            grace_ms=self._queue_wait.grace_ms,
            dead_bytes=self._dead_bytes,
        )

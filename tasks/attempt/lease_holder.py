"""What one attempt says to its session's mailbox: the settings and the token are in every call."""

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from memory import (
    Acquired,
    Command,
    Committed,
    CorruptData,
    Discarded,
    Event,
    Mailbox,
    MemoryServiceError,
    MemoryUnavailable,
    SessionKeys,
    Slots,
    SlotWait,
    StopPolicy,
    dead_letters,
    events,
    ignore_corrupt,
    index,
    owed,
    slots,
    summary,
)
from tasks.attempt.committed import committed_result
from tasks.job.job import Envelope
from tasks.job.result import ChatResult
from tasks.process.crash_points import CrashPoint, passing
from tasks.process.lease import Lease
from tasks.process.wiring import Services

T = TypeVar("T")

logger = logging.getLogger(__name__)

COMMIT_PATIENCE_S = 60.0
COMMIT_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class JobRef:
    """Which job an attempt is for.

    `max_history` is the window that the job asks for, None for its agent's; `envelope` comes with
    a raw send_task only.
    """

    job_id: str
    agent_id: str
    session_id: str
    max_history: int | None = None
    envelope: bytes | None = None

    @property
    def session(self) -> str:
        """What tells sessions apart where a server is chosen for one."""
        return f"{self.agent_id}:{self.session_id}"


class LeaseHolder:
    """One try to hold the lease of one job, and a place at its model where those are counted.

    What ends the lease leaves the place, in the same pipeline. Every method raises only
    MemoryServiceError.
    """

    def __init__(self, services: Services, ref: JobRef) -> None:
        self.mailbox = Mailbox.of(services.keyspace, ref.agent_id, ref.session_id)
        self.token = uuid.uuid4().hex
        self._services = services
        self._queue = services.settings.queue
        self._kept = services.settings.memory
        self._memory = services.async_memory
        self._ref = ref
        self._slots: Slots | None = None
        self._slot_taken_at = 0.0
        self._arrived_us = 0
        self._server = ""

    @property
    def lease(self) -> Lease:
        """The lease that RUN has given, with the place that was taken."""
        return Lease(self.mailbox, self._ref.job_id, self.token, self._queue.lease_ms, self._slots)

    async def acquire(self, *, history_n: int) -> Acquired:
        """Ask for the job, with the last `history_n` messages of its session."""
        raw_job = self._ref.envelope
        calls = self.mailbox.acquire(
            self._ref.job_id,
            raw_job,
            self.token,
            lease_ms=self._queue.lease_ms,
            history_n=history_n,
            max_attempts=self._queue.max_attempts,
            grace_ms=self._services.grace_ms,
            request=Envelope.unpack(raw_job).job.request if raw_job else None,
        )
        if not self._services.settings.profiles.has_summaries:
            return await self._memory.run_last(*calls)
        self._services.summaries.interrupt()
        return await self._memory.run_last(summary.give_way(self._services.keyspace), *calls)

    @property
    def server(self) -> str:
        """Where the attempt has a place; empty where nothing bounds the calls."""
        return self._server

    async def take_slot(self, at: Slots, acquired: Acquired, servers: Sequence[str]) -> bool:
        """Whether the job got a place at its model at one of `servers`; if not, `stand_in_line`."""
        keys = self.mailbox.keys
        try:
            last_turn_us, server = await self._memory.run_all(
                slots.last_turn_us(keys),
                at.take(keys, self.token, lease_ms=self._queue.lease_ms, servers=servers),
            )
        except CorruptData as exc:
            # What cannot be counted bounds nothing: better too many calls than none.
            logger.error("the calls to a model are not counted: %s", exc)
            return True
        self._arrived_us = max(acquired.seq_us, last_turn_us)
        if server is not None:
            self._slots, self._slot_taken_at, self._server = at, time.monotonic(), server
        return server is not None

    async def move(self, servers: Sequence[str]) -> bool:
        """Move the slot to another server, as `llm.HeldSlot` says: no answer came there."""
        at = self._slots
        if at is None:
            return False
        keys, lease_ms = self.mailbox.keys, self._queue.lease_ms
        try:
            server, called = await self._memory.run_all(
                at.take(keys, self.token, lease_ms=lease_ms, servers=servers),
                self._services.slot_notifier.grant_next(at),
            )
        except MemoryServiceError as exc:
            logger.warning("the place of job %s cannot be moved: %s", self._ref.job_id, exc)
            return False
        self._services.slot_notifier.call(at, called)
        self._server = server or self._server
        return server is not None

    async def wait_for_slot(self, at: Slots) -> tuple[SlotWait, StopPolicy | None]:
        """Give the lease back, the attempt not counted, and stand in line: where, and how the job
        is to be stopped if somebody asked for it meanwhile."""
        mailbox = self.mailbox
        # In this order: whoever is called finds the lease given back.
        slot_wait, called = await self._memory.run_last_two(
            at.note_waiting(),
            *mailbox.fail(
                self.token,
                delay_ms=0,
                refund=True,
                slot_wait_ms=slots.SLOT_WAIT_MS,
                grace_ms=self._services.grace_ms,
            ),
            at.expire(),
            at.wait(mailbox.keys, arrived_us=self._arrived_us),
            self._services.slot_notifier.grant_next(at),
        )
        self._services.slot_notifier.call(at, called)
        return slot_wait, await self._memory.run(mailbox.stop_asked(self._ref.job_id))

    async def release_slot(self) -> None:
        """Leave the place, if there is one, where the lease is not ours any more."""
        at, self._slots = self._slots, None
        if at is not None:
            self._services.slot_notifier.call(at, await self._memory.run_last(*self._releasing(at)))

    async def commit(self, records: Sequence[bytes], last: Event) -> Committed:
        """Write the turn and its last event; its result is owed from then on.

        As long as Redis is away it is tried again: the answer has cost a model call.
        """
        look, commit = self.mailbox.commit(
            self.token,
            self._ref.job_id,
            records,
            keep=self._kept.history_max_messages,
            ttl_s=self._kept.default_ttl_s,
            grace_ms=self._services.grace_ms,
            event=events.packed(last),
        )
        touches = index.touch(self._services.keyspace, self._ref.agent_id, self._ref.session_id)
        # What the relay still has of this session goes first: the last event is the last.
        before: list[Command[object]] = [*await self._services.relay.taken(self.mailbox.keys)]
        note = self._owe()
        if self._services.settings.profiles.has_summaries:
            before.append(summary.prolong(self.mailbox.keys, ttl_s=self._kept.default_ttl_s))
        passing(CrashPoint.BEFORE_COMMIT)
        deadline = time.monotonic() + COMMIT_PATIENCE_S
        while True:
            try:
                committed = await self._ending(*before, look, *touches, note, commit)
            except MemoryUnavailable:
                if time.monotonic() >= deadline:
                    raise
                before = []
                await asyncio.sleep(COMMIT_PAUSE_S)
            else:
                passing(CrashPoint.AFTER_COMMIT)
                return committed

    async def fail(self, *, delay_s: float, refund: bool) -> None:
        """Give the lease back; the job may run again in `delay_s`."""
        calls = self.mailbox.fail(
            self.token,
            delay_ms=round(delay_s * 1000),
            refund=refund,
            grace_ms=self._services.grace_ms,
        )
        await self._ending(*calls)

    async def bury(self, reason: str) -> Discarded:
        """Make the job a dead letter."""
        calls = self._discard(reason, cancelled=False)
        return await self._ending(self._note_dead(), self._owe(), *calls)

    async def withdraw(self, reason: str) -> Discarded:
        """Take the job out without a turn."""
        return await self._ending(self._owe(), *self._discard(reason, cancelled=True))

    async def note_dead(self) -> None:
        """Note that ACQUIRE has made the job a dead letter."""
        await self._memory.run_all(self._note_dead(), self._owe())

    async def committed_result(self) -> ChatResult | None:
        """The result of the turn that this job has in the history; None: it was cancelled."""
        ref = self._ref
        call = self.mailbox.reply_of(ref.job_id, limit=self._kept.history_max_messages)
        stored = await self._memory.run(call)
        return committed_result(ref.job_id, ref.agent_id, ref.session_id, stored)

    async def why_dead(self) -> str | None:
        """Why this job, which is over without a turn, is a dead letter; None: it was cancelled."""
        found = await self._memory.run(dead_letters.letters(self.mailbox))
        letter = found.find(self._ref.job_id)
        return None if letter is None else letter.reason

    async def _ending(self, *calls: *tuple[*tuple[Command[object], ...], Command[T]]) -> T:
        """The result of the last of these calls, which end the lease; the place is left first."""
        at = self._slots
        if at is None:
            return await self._memory.run_last(*calls)
        *before, last = calls
        called, answer = await self._memory.run_last_two(*before, *self._releasing(at), last)
        self._slots = None
        self._services.slot_notifier.call(at, called)
        return answer

    def _releasing(self, at: Slots) -> tuple[Command[bool], Command[list[SessionKeys]]]:
        took_ms = round((time.monotonic() - self._slot_taken_at) * 1000)
        release = ignore_corrupt(at.release(self.token, took_ms=took_ms), False)
        return release, self._services.slot_notifier.grant_next(at)

    def _discard(self, reason: str, *, cancelled: bool) -> tuple[Command[int], Command[Discarded]]:
        return self.mailbox.discard(
            self._ref.job_id,
            reason,
            self.token,
            cancelled=cancelled,
            grace_ms=self._services.grace_ms,
        )

    def _owe(self) -> Command[int]:
        return owed.owe(self._services.keyspace, self._ref.job_id, grace_ms=self._services.grace_ms)

    def _note_dead(self) -> Command[int]:
        return dead_letters.note(self.mailbox)

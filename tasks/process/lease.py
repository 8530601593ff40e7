"""Keeping a lease while its turn is computed, and the reasons to stop computing."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from memory import AsyncConnection, Mailbox, MemoryServiceError, Slots, StopPolicy

T = TypeVar("T")

# Two renewals may be lost before a lease ends.
RENEWALS_PER_LEASE = 3
FIRST_LOOK_S = 0.5


class StopReason(StrEnum):
    """Why the work under a lease was stopped from outside."""

    LEASE_LOST = "lease lost"
    SLOT_LOST = "slot of the model lost"
    DRAINED = "worker is stopping"
    CANCELLED = "cancelled"
    DISCARDED = "cancelled and discarded"

    @classmethod
    def of(cls, policy: StopPolicy) -> "StopReason":
        """The reason that goes with how a job is to be stopped."""
        return cls.CANCELLED if policy is StopPolicy.KEEP else cls.DISCARDED

    @property
    def policy(self) -> StopPolicy | None:
        """What becomes of the turn; None where the job goes on elsewhere."""
        return {
            StopReason.CANCELLED: StopPolicy.KEEP,
            StopReason.DISCARDED: StopPolicy.DISCARD,
        }.get(self)


class Stopped(Exception):  # it is no error: someone asked for it
    """The work was stopped; nothing of it may be kept."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Stoppable:
    """Work that others may stop, for a reason; the first reason counts."""

    def __init__(self) -> None:
        self._reason: asyncio.Future[StopReason] = asyncio.get_running_loop().create_future()

    def stop(self, reason: StopReason) -> None:
        """Ask for the stop; on the loop's own thread only."""
        if not self._reason.done():
            self._reason.set_result(reason)

    async def run(self, work: Coroutine[object, object, T]) -> T:
        """Run `work` to its end, or cancel it and raise Stopped as soon as someone asks.

        What was asked before is obeyed before `work` begins.
        """
        if self._reason.done():
            work.close()
            raise Stopped(self._reason.result())
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._reason), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
        if task.cancelled() and self._reason.done():
            raise Stopped(self._reason.result())
        return task.result()


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a job, and the slot of its model where calls are bounded; see `renewed`."""

    mailbox: Mailbox
    job_id: str
    token: str
    length_ms: int
    slots: Slots | None = None


class RunningLeases:
    """The leases that this process holds: a stopping worker gives them back, and a cancel finds the
    job that it is to stop."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Lease, Stoppable]] = {}
        self._is_draining = False

    @contextmanager
    def holding(self, lease: Lease, stoppable: Stoppable) -> Iterator[None]:
        """Count an attempt in; one that begins while the worker drains is stopped at once."""
        held = self._held[lease.job_id] = lease, stoppable
        if self._is_draining:
            stoppable.stop(StopReason.DRAINED)
        try:
            yield
        finally:
            if self._held.get(lease.job_id) is held:
                del self._held[lease.job_id]

    async def drain(self, after_s: float) -> int:
        """Let running attempts finish for `after_s` seconds, then stop the rest; how many."""
        await asyncio.sleep(after_s)
        self._is_draining = True
        for _, stoppable in self._held.values():
            stoppable.stop(StopReason.DRAINED)
        return len(self._held)

    async def stop_if_cancelled(self, memory: AsyncConnection, job_id: str) -> None:
        """Stop a job if it runs here and somebody asked for it."""
        held = self._held.get(job_id)
        if held is None:
            return
        lease, stoppable = held
        policy = await memory.run(lease.mailbox.stop_asked(job_id))
        if policy is not None:
            stoppable.stop(StopReason.of(policy))


@asynccontextmanager
async def renewed(
    memory: AsyncConnection, lease: Lease, stoppable: Stoppable
) -> AsyncIterator[None]:
    """Renew the lease every third of its length; stop the work if the lease or the slot is
    lost, or if somebody has cancelled the job and the announcement was missed.

    Redis being away does not end the work: the commit decides whether the turn still counts.
    """
    renewals: list[asyncio.Task[None]] = []

    def begin() -> None:
        renewals.append(asyncio.create_task(_renew(memory, lease, stoppable)))

    # The first look comes soon: a stop may have been announced while the job was being acquired.
    # A turn that is over sooner costs no task.
    first_look_s = min(FIRST_LOOK_S, _third_s(lease))
    timer = asyncio.get_running_loop().call_later(first_look_s, begin)
    try:
        yield
    finally:
        timer.cancel()
        for renewal in renewals:
            renewal.cancel()
            await asyncio.wait((renewal,))


def _third_s(lease: Lease) -> float:
    return lease.length_ms / 1000 / RENEWALS_PER_LEASE


async def _renew(memory: AsyncConnection, lease: Lease, stoppable: Stoppable) -> None:
    while True:
        with suppress(MemoryServiceError):
            is_ours, policy, has_slot = await _renew_once(memory, lease)
            if not is_ours:
                stoppable.stop(StopReason.LEASE_LOST)
                return
            if policy is not None:
                stoppable.stop(StopReason.of(policy))
            if not has_slot:
                stoppable.stop(StopReason.SLOT_LOST)
        await asyncio.sleep(_third_s(lease))


async def _renew_once(
    memory: AsyncConnection, lease: Lease
) -> tuple[bool, StopPolicy | None, bool]:
    """Renew once: is the lease still ours, how is the job to be stopped, is the slot still ours."""
    renew = lease.mailbox.renew(lease.token, lease_ms=lease.length_ms)
    cancelled = lease.mailbox.stop_asked(lease.job_id)
    if lease.slots is None:
        return *await memory.run_all(renew, cancelled), True
    renew_slot = lease.slots.renew(lease.token, lease_ms=lease.length_ms)
    return await memory.run_all(renew, cancelled, renew_slot)

"""The renewal of a lease and its slot while the turn runs, and the word that it is to stop."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from memory import AsyncConnection, Mailbox, MemoryServiceError, Slots, StopPolicy
from tasks.process.stopping import RunningLeases, Stoppable, StopReason
from telemetry.metrics import LEASES_LOST

# Two renewals may be lost before a lease ends.
RENEWALS_PER_LEASE = 3
FIRST_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a job, and the slot of its model where calls are bounded; see `Renewal`."""

    mailbox: Mailbox
    job_id: str
    token: str
    length_ms: int
    slots: Slots | None = None


class Renewal:
    """Renews the lease every third of its length, within the block; stops the work if the lease or
    the slot is lost, or if somebody has cancelled the job and the announcement was missed. `leases`
    hold it meanwhile.

    Redis being away does not end the work: the commit decides whether the turn still counts.
    """

    def __init__(
        self, memory: AsyncConnection, lease: Lease, stoppable: Stoppable, leases: RunningLeases
    ) -> None:
        self._renewing = memory, lease, stoppable
        self._leases = leases
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        # The first look comes soon: a stop may have been announced while the job was being
        # acquired. A turn that is over sooner costs no task.
        lease, stoppable = self._renewing[1:]
        self._leases.hold(lease.mailbox, lease.job_id, stoppable)
        first_look_s = min(FIRST_LOOK_S, _third_s(lease))
        self._timer = asyncio.get_running_loop().call_later(first_look_s, self._begin)

    async def __aexit__(self, *_: object) -> None:
        lease, stoppable = self._renewing[1:]
        self._leases.let_go(lease.job_id, stoppable)
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _begin(self) -> None:
        self._task = asyncio.create_task(_renew(*self._renewing))


def _third_s(lease: Lease) -> float:
    return lease.length_ms / 1000 / RENEWALS_PER_LEASE


async def _renew(memory: AsyncConnection, lease: Lease, stoppable: Stoppable) -> None:
    while True:
        with suppress(MemoryServiceError):
            is_ours, policy, has_slot = await _renew_once(memory, lease)
            if not is_ours:
                LEASES_LOST.inc()
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

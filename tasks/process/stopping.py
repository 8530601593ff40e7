"""Stopping a turn that is computed: the reasons, and the turns of this process."""

import asyncio
from collections.abc import Coroutine
from enum import StrEnum
from typing import TypeVar, cast

from memory import AsyncConnection, Mailbox, StopPolicy

T = TypeVar("T")


class StopReason(StrEnum):
    """Why the work under a lease was stopped from outside."""

    LEASE_LOST = "lease lost"
    SLOT_LOST = "lost the model's slot"
    DRAINED = "worker is stopping"
    CANCELLED = "cancelled"
    DISCARDED = "cancelled and discarded"
    TIMED_OUT = "ran for as long as its timeout_s allows"

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
        self._reasons = list[StopReason]()
        self._task: asyncio.Task[object] | None = None

    def stop(self, reason: StopReason) -> None:
        """Ask for the stop; on the loop's own thread only."""
        self._reasons.append(reason)
        if self._task is not None and len(self._reasons) == 1:
            self._task.cancel()

    async def run(self, work: Coroutine[object, object, T]) -> T:
        """Run `work` to its end, or cancel it and raise Stopped as soon as someone asks.

        What was asked before is obeyed before `work` begins.
        """
        if self._reasons:
            work.close()
            raise Stopped(self._reasons[0])
        # In the caller's own task, as asyncio.timeout does: another one, and a wait for the first
        # of two, would cost each turn 30 us.
        task = self._task = cast("asyncio.Task[object]", asyncio.current_task())
        cancels, results = task.cancelling(), list[T]()
        try:
            results.append(await work)
            if self._reasons:
                await asyncio.sleep(0)  # here the cancel comes that was too late for the work
                task.uncancel()
        except asyncio.CancelledError:
            # A cancel from outside at the same moment has precedence.
            if not self._reasons or task.uncancel() > cancels:
                raise
            if not results:
                raise Stopped(self._reasons[0]) from None
        finally:
            self._task = None
        return results[0]


class RunningLeases:
    """The leases that this process holds: a stopping worker gives them back, and a cancel finds the
    job that it is to stop."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Mailbox, Stoppable]] = {}
        self._is_draining = False

    def hold(self, mailbox: Mailbox, job_id: str, stoppable: Stoppable) -> None:
        """Count an attempt in; one that begins while the worker drains is stopped at once."""
        self._held[job_id] = mailbox, stoppable
        if self._is_draining:
            stoppable.stop(StopReason.DRAINED)

    def let_go(self, job_id: str, stoppable: Stoppable) -> None:
        """It is over; a later attempt at the job stays."""
        if self._held.get(job_id, (None, None))[1] is stoppable:
            del self._held[job_id]

    def take_no_more(self) -> None:
        """Give back at once what begins from here on; what runs goes on. From any thread."""
        self._is_draining = True

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
        mailbox, stoppable = held
        policy = await memory.run(mailbox.stop_asked(job_id))
        if policy is not None:
            stoppable.stop(StopReason.of(policy))

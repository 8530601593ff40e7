"""Keeping a lease while its turn is computed, and the reasons to stop computing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from typing import TypeVar

from memory import AsyncConnection, Mailbox, MemoryServiceError

T = TypeVar("T")

RENEWALS_PER_LEASE = 3


class StopReason(StrEnum):
    """Why the work under a lease was stopped from outside."""

    LEASE_LOST = "lease lost"
    DRAINED = "worker is stopping"


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
        """Run `work` to its end, or cancel it and raise Stopped as soon as someone asks."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._reason), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
        if task.cancelled():
            raise Stopped(self._reason.result())
        return task.result()


class Running:
    """The attempts whose lease this process holds, so that a stopping worker gives them back."""

    def __init__(self) -> None:
        self._held: set[Stoppable] = set()
        self._is_draining = False

    @contextmanager
    def holding(self, stoppable: Stoppable) -> Iterator[None]:
        """Count an attempt in; one that comes while the worker gives back is stopped at once."""
        self._held.add(stoppable)
        if self._is_draining:
            stoppable.stop(StopReason.DRAINED)
        try:
            yield
        finally:
            self._held.discard(stoppable)

    async def drain(self, after_s: float) -> int:
        """Let running attempts finish for `after_s` seconds, then stop the rest; how many."""
        await asyncio.sleep(after_s)
        self._is_draining = True
        for stoppable in self._held:
            stoppable.stop(StopReason.DRAINED)
        return len(self._held)


@asynccontextmanager
async def kept(
    memory: AsyncConnection,
    mailbox: Mailbox,
    token: str,
    *,
    lease_ms: int,
    on_lost: Callable[[], None],
) -> AsyncIterator[None]:
    """Renew the lease every third of its length; call `on_lost` once if it is somebody else's.

    Redis being away does not end the work: the commit decides whether the turn still counts.
    """
    renewals = asyncio.create_task(_renew(memory, mailbox, token, lease_ms, on_lost))
    try:
        yield
    finally:
        renewals.cancel()
        await asyncio.wait((renewals,))


async def _renew(
    memory: AsyncConnection,
    mailbox: Mailbox,
    token: str,
    lease_ms: int,
    on_lost: Callable[[], None],
) -> None:
    while True:
        await asyncio.sleep(lease_ms / 1000 / RENEWALS_PER_LEASE)
        try:
            is_ours = await memory.run(mailbox.renew(token, lease_ms=lease_ms))
        except MemoryServiceError:
            continue
        if not is_ours:
            on_lost()
            return

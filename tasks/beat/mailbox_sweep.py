"""The sweeper's look at the mailboxes: jobs whose worker died or whose wake-up was lost.

It also notes the sessions whose outbox is not empty, for `outbox_sweep`.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from celery import Celery

from memory import (
    AsyncConnection,
    CorruptData,
    Due,
    DueEntry,
    Mailbox,
    MemoryFull,
    MemoryRefused,
    MemoryServiceError,
    SessionKeys,
    SweepOutcome,
    outbox,
)
from memory.mailbox.due import shared_wait_ms
from memory.mailbox.outcomes import Swept
from memory.quoting import quoted
from tasks.end.loop_delivery import LoopDelivery
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.queue_wait import QueueWait
from tasks.process.redis_clock import redis_clock
from tasks.process.wakeup import wake

T = TypeVar("T")

logger = logging.getLogger(__name__)

BATCH = 500
CORRUPT_PAUSE_MS = 600_000


class MailboxSweep:
    """Wakes mailboxes; used on the event loop. Any number of sweepers may run at once."""

    def __init__(
        self,
        app: Celery,
        memory: AsyncConnection,
        due: Due,
        queue_wait: QueueWait,
        *,
        wakers: Executor,
        ends: LoopDelivery,
    ) -> None:
        """`wakers` publishes wake-ups: nothing slower may run there."""
        self._app = app
        self._memory = memory
        self._due = due
        self._queue_wait = queue_wait
        self._wakers = wakers
        self._ends = ends

    async def run(self) -> list[str]:
        """Look once at what is due now, at most BATCH mailboxes; the outcomes.

        What goes wrong with one mailbox costs no other anything. Raises MemoryServiceError: Redis
        is away for all of them.
        """
        entries = await self._memory.run(redis_clock().read_by(self._due.entries(limit=BATCH)))
        if not entries:
            return []
        await self._share_queue_wait()
        mailboxes = {entry: self._due.mailbox(entry) for entry in entries}
        looks = [(entry, mailbox) for entry, mailbox in mailboxes.items() if mailbox is not None]
        quiet, others = await self._looked(looks)
        others += [self._forget(entry) for entry, mailbox in mailboxes.items() if mailbox is None]
        outcomes = await asyncio.gather(self._settle(quiet), *others, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        found = [swept.outcome.value for _, swept in quiet]
        return [*found, *(outcome for outcome in outcomes if isinstance(outcome, str))]

    async def _looked(
        self, looks: Sequence[tuple[DueEntry, Mailbox]]
    ) -> tuple[list[tuple[DueEntry, Swept]], list[Coroutine[object, object, str | None]]]:
        """What SWEEP says of the mailboxes for which there is nothing to do, and what is to be
        done for the others."""
        grace_ms = self._queue_wait.grace_ms
        # Nearly all have ended a turn and are idle: without a task for each of them.
        swept, ends = await asyncio.gather(
            self._memory.run_apart([mailbox.sweep(grace_ms) for _, mailbox in looks]),
            self._memory.run_apart([outbox.size(mailbox.keys) for _, mailbox in looks]),
        )
        quiet, others = [], []
        for (entry, mailbox), one, size in zip(looks, swept, ends, strict=True):
            if isinstance(one, Swept) and one.outcome is not SweepOutcome.WAKE and size == 0:
                quiet.append((entry, one))
            else:
                work = self._see_to(entry, mailbox, one, size)
                others.append(guarded(work, f"sweep {entry.history_key}; the others go on"))
        return quiet, others

    async def _settle(self, quiet: Sequence[tuple[DueEntry, Swept]]) -> None:
        grace_ms = self._queue_wait.grace_ms
        for answer in await self._memory.run_apart(
            [self._due.settle(entry, swept, grace_ms=grace_ms) for entry, swept in quiet]
        ):
            if isinstance(answer, MemoryServiceError):
                raise answer

    async def _share_queue_wait(self) -> None:
        """Learn from other processes how long wake-ups lie in the queue, and share what is long."""
        try:
            if self._queue_wait.is_long:
                seen_ms = round(self._queue_wait.lately_s() * 1000)
                await self._memory.run(self._due.share_queue_wait(seen_ms))
            found = await self._memory.run_all(*self._due.shared_queue_wait())
            self._queue_wait.note_shared(shared_wait_ms(*found) / 1000)
        except (CorruptData, MemoryFull, MemoryRefused) as exc:
            # The mailboxes are swept without it.
            logger.error(
                "the queue's waiting time is not reported until its key is repaired: %s", exc
            )
            self._queue_wait.note_shared(0.0)

    async def _forget(self, entry: DueEntry) -> str:
        name = quoted(entry.history_key)
        logger.warning("%s is not the key of a history; it is no longer swept", name)
        await self._memory.run(self._due.forget(entry))
        return "FORGOTTEN"

    async def _see_to(
        self,
        entry: DueEntry,
        mailbox: Mailbox,
        swept: Swept | MemoryServiceError,
        ends: int | MemoryServiceError,
    ) -> str:
        """Do what SWEEP and the size of the outbox ask for."""
        is_noted = await self._note_ends(mailbox.keys, ends)
        if isinstance(swept, CorruptData):
            # docs/decisions.md, "A damaged key beside the sessions fails no job".
            logger.error(
                "%s cannot be swept until its key is repaired; the next try is in ten minutes: %s",
                entry.history_key,
                swept,
            )
            await self._memory.run(self._due.put_off(entry, CORRUPT_PAUSE_MS))
            return "CORRUPT"
        if isinstance(swept, MemoryServiceError):
            raise swept
        return await self._wake(entry, mailbox, swept, is_noted=is_noted)

    async def _wake(
        self, entry: DueEntry, mailbox: Mailbox, swept: Swept, *, is_noted: bool
    ) -> str:
        memory, grace_ms = self._memory, self._queue_wait.grace_ms
        is_published = True
        if swept.outcome is SweepOutcome.WAKE:
            crash_if_armed(CrashPoint.SWEEP_WAKE)
            loop = asyncio.get_running_loop()
            is_published = await loop.run_in_executor(
                self._wakers, wake, self._app, mailbox.keys, swept.head
            )
        if not is_published:
            await memory.run(mailbox.unwake())
            return "UNPUBLISHED"
        if is_noted:
            await memory.run(self._due.settle(entry, swept, grace_ms=grace_ms))
        else:
            await memory.run(self._due.put_off(entry, grace_ms))
        return swept.outcome.value

    async def _note_ends(self, keys: SessionKeys, ends: int | MemoryServiceError) -> bool:
        """Note that a session has ends to be delivered, before its entry is put off.

        False: they cannot be noted, and only this entry leads to them.
        """
        try:
            if isinstance(ends, MemoryServiceError):
                raise ends
            if ends:
                await self._memory.run(outbox.note_late(self._due.keyspace, keys))
        except CorruptData as exc:
            logger.error(
                "undelivered results of %s cannot be noted until a key is repaired; this sweep "
                "tries to deliver them itself: %s",
                keys.history,
                exc,
            )
            await guarded(
                self._deliver(keys), f"deliver results of {keys.history}; the others go on"
            )
            return False
        return True

    async def _deliver(self, keys: SessionKeys) -> None:
        try:
            await self._ends.deliver_session(keys)
        except CorruptData as exc:
            logger.error("%s: its results wait until the key is repaired: %s", keys.outbox, exc)


async def guarded(work: Coroutine[object, object, T], what: str) -> T | None:
    """The result of `work`; None where it failed, which is logged with its traceback.

    Raises MemoryServiceError: that Redis is away is no fault of the work.
    """
    try:
        return await work
    except MemoryServiceError:
        raise
    except Exception:
        logger.exception("cannot %s", what)
        return None

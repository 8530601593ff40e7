"""The sweeper's look at the mailboxes: jobs whose worker died or whose wake-up was lost.

It also notes the sessions whose outbox is not empty, for `outbox_sweep`.
"""

import asyncio
import logging
from collections.abc import Coroutine
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
        if entries:
            await self._share_queue_wait()
        sweeping = (
            guarded(self._sweep_one(entry), f"sweep {entry.history_key}; the others go on")
            for entry in entries
        )
        outcomes = await asyncio.gather(*sweeping, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, str)]

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

    async def _sweep_one(self, entry: DueEntry) -> str:
        mailbox = self._due.mailbox(entry)
        if mailbox is None:
            name = quoted(entry.history_key)
            logger.warning("%s is not the key of a history; it is no longer swept", name)
            await self._memory.run(self._due.forget(entry))
            return "FORGOTTEN"
        try:
            return await self._sweep_mailbox(entry, mailbox)
        except CorruptData as exc:
            # docs/decisions.md, "A damaged key beside the sessions fails no job".
            logger.error(
                "%s cannot be swept until its key is repaired; the next try is in ten minutes: %s",
                entry.history_key,
                exc,
            )
            await self._memory.run(self._due.put_off(entry, CORRUPT_PAUSE_MS))
            return "CORRUPT"

    async def _sweep_mailbox(self, entry: DueEntry, mailbox: Mailbox) -> str:
        memory, grace_ms, keys = self._memory, self._queue_wait.grace_ms, mailbox.keys
        swept, is_noted = await asyncio.gather(
            memory.run(mailbox.sweep(grace_ms)), self._note_ends(keys)
        )
        is_published = True
        if swept.outcome is SweepOutcome.WAKE:
            crash_if_armed(CrashPoint.SWEEP_WAKE)
            loop = asyncio.get_running_loop()
            is_published = await loop.run_in_executor(
                self._wakers, wake, self._app, keys, swept.head
            )
        if not is_published:
            await memory.run(mailbox.unwake())
            return "UNPUBLISHED"
        if is_noted:
            await memory.run(self._due.settle(entry, swept, grace_ms=grace_ms))
        else:
            await memory.run(self._due.put_off(entry, grace_ms))
        return swept.outcome.value

    async def _note_ends(self, keys: SessionKeys) -> bool:
        """Note that a session has ends to be delivered, before its entry is put off.

        False: they cannot be noted, and only this entry leads to them.
        """
        try:
            if await self._memory.run(outbox.size(keys)):
                await self._memory.run(outbox.note_late(self._due.keyspace, keys))
        except CorruptData as exc:
            logger.error(
                "delivered results of %s are not recorded until a key is repaired: %s",
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

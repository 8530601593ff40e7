"""Waking the head of a session that waits: for a slot of its model, or for its model's servers."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

from memory import (
    AsyncConnection,
    CorruptData,
    JobToWake,
    Keyspace,
    Mailbox,
    Priority,
    SessionKeys,
    SweepOutcome,
)
from memory.slots import slots
from tasks.process.queue_wait import QueueWait

logger = logging.getLogger(__name__)

TRIES = 5
PAUSE_S = 0.05


class HeadWaker:
    """Wakes heads that no sweeper would wake yet; used on the event loop only."""

    def __init__(
        self,
        memory: AsyncConnection,
        keyspace: Keyspace,
        *,
        queue_wait: QueueWait,
        wake: Callable[[SessionKeys, JobToWake | None], bool],
        wakers: Executor,
        take_on: Callable[[SessionKeys, JobToWake], bool],
    ) -> None:
        """`wake` publishes one wake-up, blocking, in one of the threads of `wakers`; `take_on`
        begins the job in this process instead, if it may."""
        self._memory = memory
        self._keyspace = keyspace
        self._queue_wait = queue_wait
        self._wake = wake
        self._wakers = wakers
        self._take_on = take_on

    async def wake_head(self, keys: SessionKeys, *, is_first: bool = False) -> bool:
        """Wake the head of a session. False: there is none, or its lease holder sees to it.

        With `is_first` it begins in this process, if it may; otherwise its wake-up is sent as an
        interactive one, whatever the job is.

        Raises MemoryServiceError, but not CorruptData: that is logged.
        """
        mailbox = Mailbox(self._keyspace, keys)
        for _ in range(TRIES):
            try:
                calls = slots.wake_waiting(mailbox, grace_ms=self._queue_wait.grace_ms)
                swept = await self._memory.run_last(*calls)
            except CorruptData as exc:
                logger.error("%s cannot run until its key is repaired: %s", keys.history, exc)
                return False
            if swept.outcome is SweepOutcome.WAKE:
                await self._woken(mailbox, swept.head, is_first=is_first)
                return True
            if swept.outcome is not SweepOutcome.BUSY:
                return False
            # A second message of the job holds the lease for a moment, about to ask what is free.
            await asyncio.sleep(PAUSE_S)
        return False

    async def _woken(self, mailbox: Mailbox, head: JobToWake | None, *, is_first: bool) -> None:
        if is_first and head is not None:
            head = replace(head, priority=Priority.INTERACTIVE)
            if self._take_on(mailbox.keys, head):
                return
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(self._wakers, self._wake, mailbox.keys, head):
            await self._memory.run(mailbox.unwake())

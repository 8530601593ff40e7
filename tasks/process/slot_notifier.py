"""Bringing in who is called out of a model's line: its mailbox is looked at, its head woken."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from memory import (
    AsyncConnection,
    Command,
    CorruptData,
    Keyspace,
    Mailbox,
    MemoryServiceError,
    SessionKeys,
    Slots,
    SweepOutcome,
    Waiting,
    ignore_corrupt,
    slots,
)

logger = logging.getLogger(__name__)

TRIES = 5
PAUSE_S = 0.05


class SlotNotifier:
    """Wakes the sessions for which a place is kept; used on the event loop only.

    Nobody waits for it, and nothing depends on it: who is not brought in stands in line again, and
    the sweeper calls.
    """

    def __init__(
        self,
        memory: AsyncConnection,
        keyspace: Keyspace,
        *,
        patience_ms: Callable[[], int],
        open_to: Callable[[str], Sequence[str]],
        wake: Callable[[SessionKeys, Waiting | None], bool],
    ) -> None:
        """`patience_ms`: how long a wake-up may be under way; `open_to`: the servers that may be
        asked for a model; `wake` publishes one wake-up, blocking."""
        self._memory = memory
        self._keyspace = keyspace
        self._patience_ms = patience_ms
        self._open_to = open_to
        self._wake = wake
        self._under_way: set[asyncio.Task[None]] = set()

    def grant_next(self, at: Slots) -> Command[list[SessionKeys]]:
        """What says whom to `call`; a place is kept as long as a wake-up may be under way."""
        servers = self._open_to(at.model)
        return ignore_corrupt(at.grant_next(reserve_ms=self._patience_ms(), servers=servers), [])

    def call(self, at: Slots, sessions: Sequence[SessionKeys]) -> None:
        """Wake the heads of these sessions; a place of one that has nothing to run goes on."""
        for keys in sessions:
            task = asyncio.create_task(self._bring(at, keys))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _bring(self, at: Slots, keys: SessionKeys) -> None:
        try:
            if not await self._is_coming(Mailbox(self._keyspace, keys)):
                self.call(at, await self._memory.run_last(at.pass_on(keys), self.grant_next(at)))
        except MemoryServiceError as exc:
            logger.warning("%s was called to a model and not woken: %s", keys.history, exc)

    async def _is_coming(self, mailbox: Mailbox) -> bool:
        """Wake the head, unless there is none or it is looked after otherwise."""
        for _ in range(TRIES):
            try:
                calls = slots.wake_granted(mailbox, grace_ms=self._patience_ms())
                swept = await self._memory.run_last(*calls)
            except CorruptData as exc:
                logger.error("cannot look at %s: %s", mailbox.keys.history, exc)
                return False
            if swept.outcome is SweepOutcome.WAKE:
                if not await asyncio.to_thread(self._wake, mailbox.keys, swept.head):
                    await self._memory.run(mailbox.unwake())
                return True
            if swept.outcome is not SweepOutcome.BUSY:
                return False
            # A second message of the job holds the lease for a moment, about to ask for a place.
            await asyncio.sleep(PAUSE_S)
        return False

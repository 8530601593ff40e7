"""The sweeper's look at the models: free slots that were granted to nobody."""

import logging

from memory import AsyncConnection, CorruptData, InvalidInput, Keyspace, index
from memory.mailbox.due import IDLE_MS
from memory.slots.slots import model_of, waiting_models
from tasks.process.slots import BoundedModels, SlotNotifier

logger = logging.getLogger(__name__)


class SlotSweep:
    """Grants free slots to those that wait for one; used on the event loop.

    A worker that released a slot may have died before it woke the next session, or while it held
    the slot.
    """

    def __init__(
        self,
        memory: AsyncConnection,
        keyspace: Keyspace,
        models: BoundedModels,
        notifier: SlotNotifier,
    ) -> None:
        self._memory = memory
        self._keyspace = keyspace
        self._models = models
        self._notifier = notifier

    async def run(self) -> None:
        """Look at each model that somebody waits for, and forget those that nobody waits for.

        Raises MemoryServiceError.
        """
        if not self._models.are_any:
            return
        now_ms, entries = await self._memory.run_all(
            index.server_time_ms(), waiting_models(self._keyspace)
        )
        for entry in entries:
            try:
                is_idle = await self._grant(entry.member)
            except (CorruptData, InvalidInput) as exc:
                logger.error(
                    "slots of %s are not granted until its keys are repaired: %s", entry.member, exc
                )
                continue
            if is_idle and entry.seen_ms < now_ms - IDLE_MS:
                await self._memory.run(index.forget(self._keyspace.waiting_models, [entry]))

    async def _grant(self, tag: str) -> bool:
        """Grant the free slots of one model; whether nobody waits for them."""
        slots = self._models.slots_of(model_of(tag))
        if slots is None:
            # Not bounded any more: the sweep of the mailboxes wakes those that wait.
            return True
        grant_next = self._notifier.grant_next(slots)
        _, granted, waiting = await self._memory.run_all(
            self._notifier.expire(slots), grant_next, slots.waiting()
        )
        self._notifier.notify(slots, granted)
        return not granted and not waiting

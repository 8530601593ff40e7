"""The slot that one request for vectors holds at its model, where the calls of it are bounded."""

import asyncio
import logging
import time
from collections.abc import Sequence

from memory import AsyncConnection, CorruptData, MemoryServiceError, SessionKeys, Slots
from tasks.process.slots import BoundedModels, SlotNotifier

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5


class EmbeddingSlot:
    """Takes, moves, renews and releases one slot; an `llm.HeldSlot`.

    It is taken in the name of a session that there is not, so it never becomes a waiter: nobody
    could be woken for it. It asks again instead, and overtakes no session that waits.
    """

    def __init__(
        self,
        memory: AsyncConnection,
        models: BoundedModels,
        notifier: SlotNotifier,
        keys: SessionKeys,
        token: str,
        *,
        lease_ms: int,
    ) -> None:
        self.server = ""
        """Where the slot is; empty where nothing bounds the calls."""
        self._memory = memory
        self._models = models
        self._notifier = notifier
        self._keys = keys
        self._token = token
        self._lease_ms = lease_ms
        self._slots: Slots | None = None
        self._taken_s = 0.0

    async def take(self, model: str, *, within_s: float) -> bool:
        """Whether `model` may be called: at once where nothing bounds its calls. It asks for at
        most `within_s`."""
        slots, ends_s = self._models.slots_of(model), time.monotonic() + within_s
        if slots is None:
            return True
        pause_s = FIRST_PAUSE_S
        while not await self._is_taken(slots, await self._models.ranked(slots.model, "")):
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return True

    async def move(self, servers: Sequence[str]) -> bool:
        """Move the slot to another server, as `llm.HeldSlot` says: the first gave no answer."""
        slots = self._slots
        if slots is None:
            return False
        try:
            return await self._is_taken(slots, servers)
        except MemoryServiceError as exc:
            logger.warning(
                "a slot of %s could not be moved to another server: %s", slots.model, exc
            )
            return False

    async def renew(self) -> None:
        """Keep the slot for another `lease_ms`, if there is one."""
        if self._slots is not None:
            await self._memory.run(self._slots.renew(self._token, lease_ms=self._lease_ms))

    async def release(self, *, was_used: bool) -> None:
        """Give the slot to the next waiter, if there is one. What fails is logged: it expires."""
        slots, self._slots = self._slots, None
        if slots is None:
            return
        took_ms = round((time.monotonic() - self._taken_s) * 1000) if was_used else None
        try:
            granted = await self._memory.run_last(
                slots.release(self._token, took_ms=took_ms), self._notifier.grant_next(slots)
            )
        except MemoryServiceError as exc:
            logger.info("a slot of %s is free when its lease expires: %s", slots.model, exc)
        else:
            self._notifier.notify(slots, granted)

    async def _is_taken(self, slots: Slots, servers: Sequence[str]) -> bool:
        take = slots.take(self._keys, self._token, lease_ms=self._lease_ms, servers=servers)
        try:
            server = await self._memory.run(take)
        except CorruptData as exc:
            logger.error("calls of a model are not limited until its key is repaired: %s", exc)
            return True
        if server is not None:
            self._slots, self._taken_s, self.server = slots, time.monotonic(), server
        return server is not None

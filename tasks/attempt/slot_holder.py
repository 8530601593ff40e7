"""The slot that one attempt holds at its model, where the calls of the model are bounded."""

import logging
import time
from collections.abc import Sequence

from memory import (
    Acquired,
    AsyncConnection,
    Command,
    CorruptData,
    MemoryServiceError,
    Priority,
    SessionKeys,
    Slots,
    SlotWait,
    ignore_corrupt,
)
from memory.slots.slots import last_turn_us
from tasks.process.redis_clock import redis_clock
from tasks.process.slots import BoundedModels, SlotNotifier
from telemetry.labels import MODELS
from telemetry.metrics import SLOT_WAIT

logger = logging.getLogger(__name__)


class SlotHolder:
    """Takes, moves and releases one slot, under the session's lease; an `llm.HeldSlot`."""

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
        self.token = token
        """Names the holder of lease and slot: new for each attempt."""
        self.server = ""
        """Where the slot is; empty where nothing bounds the calls."""
        self.held: Slots | None = None
        """The slots among which the attempt holds one."""
        self._memory = memory
        self._models = models
        self._notifier = notifier
        self._keys = keys
        self._lease_ms = lease_ms
        self._taken_s: float | None = None
        self._enqueued_us = 0
        self._priority = Priority.NORMAL

    async def take(self, model: str, acquired: Acquired) -> Slots | None:
        """None: the job may call `model` now. Else give its lease back and `wait` for these."""
        slots = self._models.slots_of(model)
        if slots is None:
            return None
        session = f"{self._keys.agent_id}:{self._keys.session_id}"
        servers = await self._models.ranked(slots.model, session)
        try:
            ended_us, server = await self._memory.run_all(
                last_turn_us(self._keys),
                slots.take(self._keys, self.token, lease_ms=self._lease_ms, servers=servers),
            )
        except CorruptData as exc:
            # What cannot be counted bounds nothing: better too many calls than none.
            logger.error("calls of a model are not limited until its key is repaired: %s", exc)
            return None
        self._enqueued_us, self._priority = max(acquired.seq_us, ended_us), acquired.priority
        if server is None:
            return slots
        self.held, self._taken_s, self.server = slots, time.monotonic(), server
        if (now_s := redis_clock().now_s) is not None:
            waited_s = max(0.0, now_s - self._enqueued_us / 1e6)
            SLOT_WAIT.labels(MODELS.label(slots.model)).observe(waited_s)
        return None

    async def move(self, servers: Sequence[str]) -> bool:
        """Move the slot to another server, as `llm.HeldSlot` says: the first gave no answer."""
        slots = self.held
        if slots is None:
            return False
        try:
            server, granted = await self._memory.run_all(
                slots.take(self._keys, self.token, lease_ms=self._lease_ms, servers=servers),
                self._notifier.grant_next(slots),
            )
        except MemoryServiceError as exc:
            logger.warning(
                "a slot of %s could not be moved to another server: %s", slots.model, exc
            )
            return False
        self._notifier.notify(slots, granted)
        self.server = server or self.server
        return server is not None

    async def wait(self, slots: Slots, *giving_back: Command[object]) -> SlotWait:
        """Give the lease back by `giving_back`, and wait for a slot: behind how many others."""
        # In this order: a session that is granted a slot finds its lease given back.
        slot_wait, granted = await self._memory.run_last_two(
            slots.note_waiting(),
            *giving_back,
            self._notifier.expire(slots),
            slots.wait(self._keys, arrived_us=self._enqueued_us, priority=self._priority),
            self._notifier.grant_next(slots),
        )
        self._notifier.notify(slots, granted)
        return slot_wait

    async def pass_on(self, model: str) -> None:
        """Let the next waiter have what is kept for this session among the slots of `model`, if
        anything bounds its calls: the session waits for something else."""
        slots = self._models.slots_of(model)
        if slots is not None:
            granting = self._notifier.grant_next(slots)
            self._notifier.notify(
                slots, await self._memory.run_last(slots.unreserve(self._keys), granting)
            )

    async def release(self) -> None:
        """Release the slot, if there is one, where the lease is lost."""
        releasing = self.releasing()
        if releasing is not None:
            self.released(await self._memory.run_last(*releasing))

    def releasing(self) -> tuple[Command[bool], Command[list[SessionKeys]]] | None:
        """The commands that release the slot, if there is one: `released` takes their answer."""
        slots = self.held
        if slots is None:
            return None
        since_s = self._taken_s
        took_ms = None if since_s is None else round((time.monotonic() - since_s) * 1000)
        release = ignore_corrupt(slots.release(self.token, took_ms=took_ms), False)
        return release, self._notifier.grant_next(slots)

    def call_none(self) -> None:
        """No model was called, or none has answered: the slot's time is not that of a call."""
        self._taken_s = None

    def released(self, granted: Sequence[SessionKeys]) -> None:
        """The slot is released: wake the sessions that are granted one."""
        slots, self.held = self.held, None
        if slots is not None:
            self._notifier.notify(slots, granted)

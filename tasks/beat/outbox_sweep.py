"""The sweeper's look at the outboxes: ends that nobody has delivered."""

import asyncio
import logging

from memory import (
    AsyncConnection,
    CorruptData,
    Keyspace,
    outbox,
)
from memory.quoting import quoted
from memory.records.index import Entry
from tasks.beat.mailbox_sweep import guarded
from tasks.end.loop_delivery import LoopDelivery

logger = logging.getLogger(__name__)

BATCH = 500
AT_ONCE = 16


class OutboxSweep:
    """Delivers ends whose deliverer died, or could not reach the results; on the event loop.

    It waits for slow servers, so it has a task of its own beside the sweep of the mailboxes. Any
    number may work at once.
    """

    def __init__(self, memory: AsyncConnection, keyspace: Keyspace, ends: LoopDelivery) -> None:
        self._memory = memory
        self._keyspace = keyspace
        self._ends = ends

    async def run(self) -> int:
        """Deliver what is noted, as long as that works; how many sessions are done.

        Raises MemoryServiceError.
        """
        entries = await self._memory.run(outbox.late_sessions(self._keyspace, limit=BATCH))
        done = 0
        for start in range(0, len(entries), AT_ONCE):
            part = entries[start : start + AT_ONCE]
            results = await asyncio.gather(*map(self._deliver, part))
            empty = [entry for entry, left in zip(part, results, strict=True) if left == 0]
            # What is delivered is noted in batches; a session must not be forgotten before.
            if empty and await self._ends.flush():
                done += await self._memory.run(outbox.forget(self._keyspace, empty))
            if all(left is None for left in results):
                break
        return done

    async def _deliver(self, entry: Entry) -> int | None:
        """How many ends are left to others; None where results cannot be stored now."""
        keys = self._keyspace.find_session(entry.member)
        if keys is None:
            name = quoted(entry.member)
            logger.warning(
                "%s is not the key of a history; it was removed from the list of outboxes", name
            )
            return 0
        try:
            left = await guarded(
                self._ends.deliver_session(keys),
                f"deliver results of {keys.history}; the others go on",
            )
            self._ends.reported.discard(keys)
        except CorruptData as exc:
            level = logging.DEBUG if keys in self._ends.reported else logging.ERROR
            logger.log(
                level, "%s: its results wait until the key is repaired: %s", keys.outbox, exc
            )
            self._ends.reported.add(keys)
            left = 1
        if left != 0:
            # Behind the others: what cannot be delivered must not keep them waiting.
            await self._memory.run(outbox.note_late(self._keyspace, keys))
        return left

"""The slots of the models: which calls are bounded, and who is woken for a slot that is granted."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import lru_cache, partial

from llm import PARALLEL, Fleet, LLMSettings, full_name
from memory import (
    AsyncConnection,
    Command,
    Keyspace,
    MemoryServiceError,
    SessionKeys,
    Slots,
    ignore_corrupt,
)
from memory.priority import Shares
from tasks.process.head_waker import HeadWaker
from tasks.process.queue_wait import QueueWait
from tasks.process.waiting.outages import Outages

logger = logging.getLogger(__name__)


class BoundedModels:
    """The slots of the models, as OLLAMA_NUM_PARALLEL and its kin bound them."""

    def __init__(
        self,
        keyspace: Keyspace,
        settings: LLMSettings,
        servers: Fleet,
        outages: Outages,
        *,
        shares: Shares,
    ) -> None:
        self.are_any = settings.is_bounded
        self._servers = servers
        self._outages = outages
        # Jobs may name any model: no more are kept than a worker meets in practice.
        self.slots_of = lru_cache(maxsize=100)(partial(slots_of, keyspace, settings, shares=shares))
        """The slots of a model, at every server; None where nothing bounds its calls."""

    async def ranked(self, model: str, session: str) -> Sequence[str]:
        """The servers that may be asked for a model, the best for a session first."""
        ranked = await self._servers.ranked(model, session)
        return self._outages.without_those_away(ranked)

    def open_to(self, model: str) -> Sequence[str]:
        """The servers that may be asked for a model."""
        return self._outages.without_those_away(self._servers.open_to(model))


def slots_of(keyspace: Keyspace, settings: LLMSettings, model: str, shares: Shares) -> Slots | None:
    """The slots of a model, at every server; None where nothing bounds its calls."""
    limits = {url: settings.at(url).parallel_calls(model) for url in settings.servers}
    if not any(limits.values()):
        return None
    # Beside bounded servers one without a bound has as many slots as anybody may set.
    own = {url: limit or PARALLEL.most for url, limit in limits.items()}
    return Slots(keyspace, full_name(model), settings.servers, max(own.values()), own, shares)


class SlotNotifier:
    """Wakes the sessions for which a slot is reserved; used on the event loop only.

    Nothing waits for it or depends on it: a session that is not woken waits for a slot again, and
    the sweeper grants the next one.
    """

    def __init__(
        self,
        memory: AsyncConnection,
        *,
        queue_wait: QueueWait,
        lease_ms: int,
        open_to: Callable[[str], Sequence[str]],
        waker: HeadWaker,
    ) -> None:
        """`lease_ms`: for how long a slot is taken; `open_to`: the servers that may be asked for a
        model."""
        self._memory = memory
        self._queue_wait = queue_wait
        self._lease_ms = lease_ms
        self._open_to = open_to
        self._waker = waker
        self._under_way: set[asyncio.Task[None]] = set()

    def expire(self, at: Slots) -> Command[int]:
        """Free the slots whose holder is gone, or whose session did not come: how many."""
        return at.expire(lease_ms=self._lease_ms, most_reserve_ms=self._queue_wait.longest_grace_ms)

    def grant_next(self, at: Slots) -> Command[list[SessionKeys]]:
        """Reserve the free slots, for as long as a wake-up may be under way: whom to `notify`."""
        servers = self._open_to(at.model)
        return ignore_corrupt(
            at.grant_next(reserve_ms=self._queue_wait.grace_ms, servers=servers), []
        )

    def notify(self, at: Slots, sessions: Sequence[SessionKeys]) -> None:
        """Wake the heads of these sessions; a session without one passes its slot on."""
        for keys in sessions:
            task = asyncio.create_task(self._wake_head(at, keys), context=Context())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _wake_head(self, at: Slots, keys: SessionKeys) -> None:
        try:
            # Before all others in the queue: until it comes, the slot is free in vain.
            if not await self._waker.wake_head(keys, is_first=True):
                self.notify(
                    at, await self._memory.run_last(at.unreserve(keys), self.grant_next(at))
                )
        except MemoryServiceError as exc:
            logger.warning(
                "%s was granted a slot but not woken; the sweeper grants the slot again: %s",
                keys.history,
                exc,
            )

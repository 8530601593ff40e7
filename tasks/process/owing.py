"""Which results of this process are stored: told to Redis in batches, for nobody waits for it."""

import asyncio
import logging
from collections.abc import Callable
from threading import Lock

from memory import AsyncConnection, Keyspace, MemoryServiceError, owed
from tasks.process.runtime import Runtime

logger = logging.getLogger(__name__)

BATCH_S = 0.2


class Owing:
    """Takes the notes on owed results away (`memory.mailbox.owed`) once Celery has stored them.

    A note that stays, because this process dies or Redis is away, costs the sweeper a look.
    """

    def __init__(
        self, runtime: Runtime, keyspace: Keyspace, memory: Callable[[], AsyncConnection]
    ) -> None:
        """`memory` gives the connection of the runtime's loop, on that loop."""
        self._runtime = runtime
        self._keyspace = keyspace
        self._memory = memory
        self._lock = Lock()
        self._stored: list[str] = []

    def stored(self, job_id: str) -> None:
        """Note that a job's result is stored; from any thread, and at once."""
        with self._lock:
            self._stored.append(job_id)
            is_first = len(self._stored) == 1
        if is_first:
            self._runtime.spawn(self._tell_soon())

    async def tell(self) -> None:
        """Tell what is noted so far; on the loop. A failure is logged."""
        with self._lock:
            told, self._stored = self._stored, []
        if not told:
            return
        try:
            await self._memory().run(owed.stored(self._keyspace, told))
        except MemoryServiceError as exc:
            logger.info("%d results will be looked for once more: %s", len(told), exc)

    async def _tell_soon(self) -> None:
        await asyncio.sleep(BATCH_S)
        await self.tell()

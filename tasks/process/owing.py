"""Which results of this process are stored: noted in Redis in batches, for nothing waits for it."""

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
            self._runtime.spawn(self._flush_soon())

    async def flush(self) -> None:
        """Note in Redis what is stored so far; on the loop. A failure is logged."""
        with self._lock:
            job_ids, self._stored = self._stored, []
        if not job_ids:
            return
        try:
            await self._memory().run(owed.stored(self._keyspace, job_ids))
        except MemoryServiceError as exc:
            logger.info(
                "the sweeper will look for %d stored results once more: %s", len(job_ids), exc
            )

    async def _flush_soon(self) -> None:
        await asyncio.sleep(BATCH_S)
        await self.flush()

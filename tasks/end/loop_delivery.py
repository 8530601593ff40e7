"""Delivering ends on the event loop, without ever holding anything else up.

A job without callbacks, which is nearly every one, costs two commands on the loop; Celery's backend
would take a thread and a round trip after the other. What is stored and published for it is what
celery 5.7.0 stores and publishes.
"""

import asyncio
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from celery.app.task import Context
from celery.backends.redis import RedisBackend

from memory import (
    AsyncConnection,
    Command,
    End,
    MemoryServiceError,
    MemorySettings,
    SessionKeys,
    outbox,
)
from tasks.end.delivery import Delivery, log_damaged
from tasks.end.outcome import outcome_of

logger = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long a worker waits for a result to be stored before it goes on without."""
AWAY_S = 1.0
"""How long nothing is tried after a failure: each try may take the whole patience."""
NOTED_EVERY_S = 0.2
MOST_THREADS = 8


class LoopDelivery:
    """Delivers ends for one process; used on its event loop only.

    What is not delivered stays in the outbox: nothing is lost, a sweep tries again.
    """

    def __init__(
        self,
        app: Celery,
        memory: Callable[[], AsyncConnection],
        *,
        results: MemorySettings | None,
        claim_ms: int,
    ) -> None:
        """`memory` gives the connection to the mailboxes; `results` is the server of the results
        where one plain Redis has them, else None. Ends that nobody delivered are taken for
        `claim_ms`."""
        self._app = app
        self._delivery = Delivery(app)
        self._memory = memory
        self._settings = results
        self._claim_ms = claim_ms
        # One for the process: what it could not deliver it may take again at once.
        self._owner = uuid.uuid4().hex
        self._results: AsyncConnection | None = None
        self._threads = ThreadPoolExecutor(MOST_THREADS, "griot-ends")
        # With callbacks an end needs the broker too, which may be away alone.
        self._away_until_s = {True: 0.0, False: 0.0}
        self._delivered: dict[SessionKeys, list[End]] = defaultdict(list)
        self._noting: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[bool]] = set()

    async def deliver(self, keys: SessionKeys, end: End) -> bool:
        """Deliver an end, and take it out of the outbox soon. Returns within PATIENCE_S.

        False: not delivered yet; it is under way, or was logged, and is tried again.
        """
        way = bool(end.callbacks)
        if time.monotonic() < self._away_until_s[way]:
            return False
        delivering = asyncio.create_task(self._deliver(keys, end))
        self._late.add(delivering)
        delivering.add_done_callback(self._late.discard)
        done, _ = await asyncio.wait((delivering,), timeout=PATIENCE_S)
        if not done:
            self._away_until_s[way] = time.monotonic() + AWAY_S
            logger.warning("the result of job %s is late, it is stored in time", end.job_id)
            return False
        return delivering.result()

    async def deliver_session(self, keys: SessionKeys, owner: str | None = None) -> int | None:
        """Deliver the ends that `owner` (None: this process) is to deliver, and those that nobody
        did in time.

        How many ends are left to others; None: the result server is away. Raises
        MemoryServiceError.
        """
        take = outbox.take(keys, owner=owner or self._owner, claim_ms=self._claim_ms)
        taken = await self._memory().run(take)
        log_damaged(keys, taken.corrupt)
        if taken.corrupt:
            await self._memory().run(outbox.drop(keys, taken.corrupt))
        for end in taken.ends:
            if not await self.deliver(keys, end):
                return None
        return taken.left

    async def flush(self) -> bool:
        """Take out of the outboxes what is delivered. A failure is logged: False."""
        delivered, self._delivered = self._delivered, defaultdict(list)
        if not delivered:
            return True
        commands = [outbox.delivered(keys, ends) for keys, ends in delivered.items()]
        try:
            await self._memory().run_each(commands)
        except MemoryServiceError as exc:
            logger.info("%d sessions' results will be stored once more: %s", len(commands), exc)
            return False
        return True

    async def aclose(self) -> None:
        """Wait a little for what is under way, and close the connection to the results."""
        if self._late:
            await asyncio.wait(self._late, timeout=PATIENCE_S)
        await self.flush()
        if self._results is not None:
            await self._results.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _deliver(self, keys: SessionKeys, end: End) -> bool:
        try:
            if self._settings is None or end.callbacks:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, self._delivery.deliver, keys, end)
            else:
                await self._connection(self._settings).run_each(self._stored(keys, end))
        except self._delivery.refusals as exc:
            self._away_until_s[bool(end.callbacks)] = time.monotonic() + AWAY_S
            logger.warning("the result of job %s is not stored yet: %s", end.job_id, exc)
            return False
        self._delivered[keys].append(end)
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._flush_soon())
        return True

    async def _flush_soon(self) -> None:
        # In batches: nothing waits for it, and each would be a command of its own.
        await asyncio.sleep(NOTED_EVERY_S)
        await self.flush()

    def _connection(self, settings: MemorySettings) -> AsyncConnection:
        self._results = self._results or AsyncConnection(settings)
        return self._results

    def _stored(self, keys: SessionKeys, end: End) -> Sequence[Command[None]]:
        outcome, backend = outcome_of(keys, end.event), self._app.backend
        is_error = isinstance(outcome.value, Exception)
        stored = backend.prepare_exception(outcome.value) if is_error else outcome.value
        meta = backend._get_result_meta(stored, outcome.state, None, Context(id=end.job_id))
        packed = backend.encode({**meta, "task_id": end.job_id})
        key = backend.get_key_for_task(end.job_id)
        kept = ("SETEX", key, int(backend.expires), packed)
        return [Command(_nothing, parts) for parts in (kept, ("PUBLISH", key, packed))]


def plain_results(app: Celery, url: str, *, timeout_s: float) -> MemorySettings | None:
    """The server of the results, where it is one plain Redis; else None."""
    if type(app.backend) is not RedisBackend:
        return None
    return MemorySettings(url=url, mode="single", timeout_s=timeout_s)


def _nothing(_: object) -> None:
    """For a command whose answer says nothing."""

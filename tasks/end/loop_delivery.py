"""Delivering ends on the event loop, without ever holding anything else up.

A job without callbacks, which is nearly every one, costs two commands on the loop; Celery's backend
would take a thread and a round trip after the other. What is stored and published for it is what
celery 5.7.0 stores and publishes.
"""

import asyncio
import contextvars
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import orjson
from celery import Celery

from memory import (
    AsyncConnection,
    Command,
    End,
    EventType,
    Keyspace,
    Mailbox,
    MemoryServiceError,
    MemorySettings,
    SessionKeys,
    dead_letters,
    outbox,
)
from memory.ids import shown_id
from memory.quotas import pending
from memory.quotas.pending import EndedJob
from tasks.end.callbacks import is_followed_in_celery
from tasks.end.delivery import PATIENCE_S, Delivery, log_damaged, log_unreadable
from tasks.end.ended import ended_by
from tasks.end.outcome import outcome_of
from tasks.end.stored_result import encrypted_result, encrypts_results
from tasks.end.webhooks import notes_of

logger = logging.getLogger(__name__)

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
        keyspace: Keyspace,
        *,
        results: MemorySettings | None,
        claim_ms: int,
        on_webhook: Callable[[], None] = lambda: None,
    ) -> None:
        """`memory` gives the connection to the mailboxes; `results` is the server of the results
        where one plain Redis has them, else None. Ends that nobody delivered are taken for
        `claim_ms`. `on_webhook` is called once a webhook is noted."""
        self._app = app
        self._delivery = Delivery(app)
        self._encrypts = encrypts_results(app)
        self._memory = memory
        self._keyspace = keyspace
        self._settings = results
        self._claim_ms = claim_ms
        self._on_webhook = on_webhook
        # One for the process: what it could not deliver it may take again at once.
        self._owner = uuid.uuid4().hex
        self._results: AsyncConnection | None = None
        self._threads = ThreadPoolExecutor(MOST_THREADS, "griot-ends")
        # With callbacks an end needs the broker too, which may be away alone.
        self._away_until_s = {True: 0.0, False: 0.0}
        self._delivered: dict[SessionKeys, list[End]] = defaultdict(list)
        self._ended: dict[str, EndedJob] = {}
        self._noting: asyncio.Task[None] | None = None
        self._flushing = asyncio.Lock()
        self._is_reported = False
        self.reported: set[SessionKeys] = set()
        """Sessions whose outbox is damaged, and was reported by this process."""
        self._under_way: dict[tuple[SessionKeys, str, EventType], asyncio.Task[bool]] = {}

    async def deliver(self, keys: SessionKeys, end: End) -> bool:
        """Deliver an end, and take it out of the outbox soon. Returns within PATIENCE_S.

        False: not delivered yet; it is under way, or was logged, and is tried again.
        """
        # It counts no longer, also where its result has to wait for a server.
        self._ended[end.job_id] = ended_by(end)
        self._flush_later()
        way = bool(end.callbacks)
        if time.monotonic() < self._away_until_s[way]:
            return False
        # A result alone may be stored twice, and costs no task.
        is_alone = not way and self._settings is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await (self._deliver if is_alone else self._deliver_beside)(keys, end)
        except TimeoutError:
            self._away_until_s[way] = time.monotonic() + AWAY_S
            self._report_late(end, "the result backend is slow")
            return False

    async def _deliver_beside(self, keys: SessionKeys, end: End) -> bool:
        # Once at a time: a broker that stands still would get what follows once for each try.
        name = (keys, end.job_id, end.event.type)
        delivering = self._under_way.get(name)
        if delivering is None:
            delivering = self._under_way[name] = asyncio.create_task(self._deliver(keys, end))
            delivering.add_done_callback(lambda _: self._under_way.pop(name))
        return await asyncio.shield(delivering)

    async def deliver_session(self, keys: SessionKeys, owner: str | None = None) -> int | None:
        """Deliver the ends that `owner` (None: this process) is to deliver, and those that nobody
        did in time.

        How many ends are left to others; None: the result server is away. Raises
        MemoryServiceError.
        """
        take = outbox.take(keys, owner=owner or self._owner, claim_ms=self._claim_ms)
        taken = await self._memory().run(take)
        log_damaged(keys, taken.corrupt)
        log_unreadable(taken.unreadable)
        if taken.corrupt:
            await self._memory().run(outbox.drop(keys, taken.corrupt))
        for end in taken.ends:
            if end.event.type is EventType.FAILED:
                # Whoever made it a dead letter may have died before that was listed.
                mailbox = Mailbox(self._keyspace, keys)
                await self._memory().run_last(*dead_letters.listed(mailbox, end.job_id))
            if not await self.deliver(keys, end):
                return None
        return taken.left

    async def flush(self) -> bool:
        """Take out of the outboxes what is delivered. A failure is logged: False."""
        async with self._flushing:
            delivered, self._delivered = self._delivered, defaultdict(list)
            ended, self._ended = self._ended, {}
            commands = [outbox.delivered(keys, ends) for keys, ends in delivered.items()]
            try:
                # What a turn has used is counted before its end is out of the outbox, which has
                # it. Begun together, they go out in one pipeline, but to two servers of a cluster.
                releasing = self._release(ended.values())
                if self._keyspace.is_cluster:
                    await releasing
                    erased = await self._memory().run_each(commands)
                else:
                    _, erased = await asyncio.gather(releasing, self._memory().run_each(commands))
            except MemoryServiceError as exc:
                logger.info(
                    "delivered results of %d sessions will be recorded later: %s",
                    len(commands),
                    exc,
                )
                self._ended = ended | self._ended
                for keys, ends in delivered.items():
                    self._delivered[keys] = [*ends, *self._delivered[keys]]
                return False
        for keys, others in zip(delivered, erased, strict=True):
            for end in others:
                if not await self.deliver(keys, end):
                    # It is asked again, and so again delivered.
                    before = [one for one in delivered[keys] if one.job_id == end.job_id]
                    self._note_soon(keys, before)
        return True

    async def aclose(self) -> None:
        """Wait a little for what is under way, and close the connection to the results."""
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=PATIENCE_S)
        await self.flush()
        if self._noting is not None:
            self._noting.cancel()
        if self._results is not None:
            await self._results.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _deliver(self, keys: SessionKeys, end: End) -> bool:
        try:
            if self._settings is None or is_followed_in_celery(end.callbacks):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, self._delivery.deliver, keys, end)
            else:
                await self._connection(self._settings).run_each(self._stored(keys, end))
            # After the result, which its receiver may ask for at once.
            if notes := notes_of(self._keyspace, keys, end):
                await self._memory().run_each(notes)
                self._on_webhook()
        except self._delivery.refusals as exc:
            self._away_until_s[bool(end.callbacks)] = time.monotonic() + AWAY_S
            self._report_late(end, str(exc))
            return False
        self._is_reported = False
        self._note_soon(keys, [end])
        if end.callbacks:
            # Else a process that dies now would have them sent twice.
            await self.flush()
        return True

    async def _release(self, ended: Iterable[EndedJob]) -> None:
        """Count these jobs as pending no longer, and what they have used."""
        if jobs := tuple(ended):
            await self._memory().run(pending.release_ended(self._keyspace, jobs))

    def _note_soon(self, keys: SessionKeys, ends: Sequence[End]) -> None:
        self._delivered[keys] += ends
        self._flush_later()

    def _flush_later(self) -> None:
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._flush_soon(), context=contextvars.Context())

    def _report_late(self, end: End, reason: str) -> None:
        # Once for an outage: a thousand jobs may end in it.
        level = logging.DEBUG if self._is_reported else logging.WARNING
        self._is_reported = True
        logger.log(
            level,
            "the result of job %s, and perhaps others, will be stored later: %s",
            shown_id(end.job_id),
            reason,
        )

    async def _flush_soon(self) -> None:
        # In batches: nothing waits for it, and each would be a command of its own.
        while self._delivered or self._ended:
            await asyncio.sleep(NOTED_EVERY_S)
            await self.flush()

    def _connection(self, settings: MemorySettings) -> AsyncConnection:
        self._results = self._results or AsyncConnection(settings)
        return self._results

    def _stored(self, keys: SessionKeys, end: End) -> Sequence[Command[None]]:
        outcome, backend = outcome_of(keys, end.event), self._app.backend
        # As of the backend's own, which takes as long as all else here.
        meta = dict[str, object](status=outcome.state, traceback=None, children=[])
        meta |= {"task_id": end.job_id, "date_done": datetime.now(UTC).isoformat()}
        if isinstance(outcome.value, Exception):
            packed = backend.encode({**meta, "result": backend.prepare_exception(outcome.value)})
        else:
            stored = encrypted_result(keys, outcome.value) if self._encrypts else outcome.value
            packed = orjson.dumps({**meta, "result": stored})
        key = backend.get_key_for_task(end.job_id)
        kept = ("SETEX", key, int(backend.expires), packed)
        return [Command(_nothing, parts) for parts in (kept, ("PUBLISH", key, packed))]


def _nothing(_: object) -> None:
    """For a command whose answer says nothing."""

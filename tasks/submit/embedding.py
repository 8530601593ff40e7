"""Asking workers for vectors, from an event loop, and waiting for them.

Texts and vectors go through Redis' memory, encrypted where conversations are; the broker's message
has an id alone. Nothing is kept: who asked is there until the end, so they see to it that a message
which is lost, or a worker that dies, is followed by another message (docs/decisions.md, "Embeddings
wait in Redis, and are told by id").
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

from kombu.exceptions import OperationalError

from memory import AsyncConnection, CorruptData
from memory.lifetimes import EMBEDDING_MS
from memory.quotas import charges, pending
from memory.quotas.charges import ChargeOutcome
from memory.quotas.owners import Owner
from memory.records import embeddings
from tasks.errors import InvalidJob, LimitReached
from tasks.job.embedding import EmbeddingAnswer, EmbeddingRequest
from tasks.process.app import app
from tasks.process.broker_names import PREFIX_HEADER
from tasks.process.configuration import Settings, load_settings
from tasks.process.wakeup import WAKEUP_HEADER
from tasks.submit.admission import exceeded

EMBED_TASK = "tasks.embed_texts"
Tell = Callable[[str], Awaitable[None]]
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.1
"""Between two looks for the answer."""
LONGEST_GRACE_S = 60.0


class Embedding:
    """One request for vectors."""

    def __init__(
        self,
        memory: AsyncConnection,
        settings: Settings,
        request: EmbeddingRequest,
        *,
        tell: Tell | None = None,
    ) -> None:
        """Checks the request. Raises InvalidJob. `tell` is how a worker hears of its id."""
        self._memory = memory
        self._settings = settings
        self._keyspace = settings.memory.keyspace
        self._request = request
        self._tell = tell or _told_by_broker
        self._id = uuid.uuid4().hex
        _check(request, settings)
        self._owners: tuple[Owner, ...] = settings.owners_of(
            request.agent_id, request.user, request.sender.owner
        )

    async def answered(self, within_s: float) -> EmbeddingAnswer:
        """The answer of a worker. Cancelling stops the model.

        Raises QuotaExceeded or LimitReached (nothing was sent), TimeoutError where no worker
        answers in time, and memory.MemoryServiceError.
        """
        await self._admit(within_s)
        try:
            async with asyncio.timeout(within_s):
                ttl_ms = round(within_s * 1000) + EMBEDDING_MS
                put = embeddings.put(self._keyspace, self._id, self._request.pack(), ttl_ms=ttl_ms)
                await self._memory.run(put)
                return await self._awaited()
        finally:
            await self._memory.run_all(
                embeddings.forget(self._keyspace, self._id),
                pending.release(self._keyspace, (self._id,)),
            )

    async def _admit(self, within_s: float) -> None:
        """Take the request out of its owners' quotas, and count it while it lasts."""
        if any(owner.quota.is_set for owner in self._owners):
            # Whoever sends jobs logs a damaged key; it refuses nobody.
            with suppress(CorruptData):
                charge = charges.charge(self._keyspace, self._id, self._owners)
                charged = await self._memory.run(charge)
                if charged.outcome is ChargeOutcome.REFUSED:
                    raise exceeded(self._request.agent_id, charged)
        held_ms = round(within_s * 1000) + EMBEDDING_MS
        note = pending.note(self._keyspace, self._id, self._owners, held_ms=held_ms)
        counts, most = await self._memory.run(note), self._settings.queue.max_pending_total
        if counts.pending > most:
            await self._memory.run(charges.refund(self._keyspace, self._id, self._owners))
            raise LimitReached(
                f"{counts.pending - 1} jobs wait or run, so no new one is accepted; wait for some "
                "of them, or raise CHAT_MAX_PENDING_TOTAL"
            )

    async def _awaited(self) -> EmbeddingAnswer:
        """Have a worker told of the request until one has answered it."""
        pause_s, grace_s, told_s, was_claimed = FIRST_PAUSE_S, 0.0, 0.0, False
        while True:
            now_s = time.monotonic()
            if now_s - told_s >= grace_s:
                await self._tell(self._id)
                longer_s = min(2 * grace_s, LONGEST_GRACE_S)
                told_s, grace_s = now_s, max(self._settings.queue.grace_s, longer_s)
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)
            # In this order: a worker leaves the answer first, and gives its claim up then.
            is_claimed, packed = await self._memory.run_all(
                embeddings.is_claimed(self._keyspace, self._id),
                embeddings.answered(self._keyspace, self._id),
            )
            if packed is not None:
                return EmbeddingAnswer.unpack(packed)
            if is_claimed:
                told_s, was_claimed = time.monotonic(), True
            elif was_claimed:
                grace_s, was_claimed = 0.0, False  # its worker has died, or is stopping


def _check(request: EmbeddingRequest, settings: Settings) -> None:
    limits = settings.queue
    if len(request.texts) > limits.max_embedding_texts:
        raise InvalidJob(
            f"input has {len(request.texts)} texts; the limit is {limits.max_embedding_texts} "
            "(CHAT_MAX_EMBEDDING_TEXTS)"
        )
    size = sum(len(text.encode(errors="surrogatepass")) for text in request.texts)
    if size > limits.max_embedding_bytes:
        raise InvalidJob(
            f"input has {size} bytes; the limit is {limits.max_embedding_bytes} "
            "(CHAT_MAX_EMBEDDING_BYTES)"
        )


async def _told_by_broker(request_id: str) -> None:
    with suppress(OperationalError):  # it is told again
        await asyncio.to_thread(tell_worker, request_id)


def tell_worker(request_id: str) -> None:
    """Publish the message of a request, below `send_task` as wake-ups are. Raises kombu's
    OperationalError."""
    names = load_settings().names
    message = app.amqp.create_task_message(
        request_id,
        EMBED_TASK,
        (request_id,),
        {},
        argsrepr="()",
        kwargsrepr="{}",
        ignore_result=True,
    )
    headers = {PREFIX_HEADER: names.key_prefix, WAKEUP_HEADER: True}
    with app.producer_or_acquire() as producer, producer.connection._reraise_as_library_errors():
        app.amqp.send_task_message(producer, EMBED_TASK, message, queue=names.chat, headers=headers)

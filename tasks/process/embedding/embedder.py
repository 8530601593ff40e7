"""Making vectors in a worker: requests that wait in Redis, each begun by a message with its id.

No thread and no place of a turn is held: all waiting is on the loop. What a worker does not end
(it dies, stops, or has enough to do) whoever asked has told to the workers again.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import Context

from llm import (
    ContextOverflowError,
    Fleet,
    LLMError,
    ModelNotFoundError,
    RequestRejectedError,
    ResponseTooLargeError,
    RetryableLLMError,
    UnsupportedError,
    embed,
)
from memory import AsyncConnection, CorruptData, Keyspace, MemoryServiceError
from memory.ids import shown_id
from memory.lifetimes import EMBEDDING_MS
from memory.quotas import charges
from memory.records import embeddings
from tasks.job.embedding import EmbeddingAnswer, EmbeddingRequest, Refusal, encoded
from tasks.process.configuration import Settings
from tasks.process.embedding.slot import EmbeddingSlot
from tasks.process.slots import BoundedModels, SlotNotifier

logger = logging.getLogger(__name__)

TEXTS_AT_ONCE = 64
"""Texts in one call of the model: a larger request takes several, so each has time enough."""
PAUSED_LOOK_S = 0.5
MOST_VECTOR_BYTES = 16 * 1024 * 1024
"""All vectors of one answer, which lies in Redis until it is fetched. Twice as many would take the
loop of all turns over 50 ms to write."""

# The first that fits; of any other error only the log says more.
_REFUSALS: Mapping[type[LLMError], Refusal] = {
    ModelNotFoundError: Refusal.NO_MODEL,
    ContextOverflowError: Refusal.TOO_LONG,
    UnsupportedError: Refusal.NO_EMBEDDINGS,
    ResponseTooLargeError: Refusal.TOO_LARGE,
    RequestRejectedError: Refusal.REJECTED,
    RetryableLLMError: Refusal.AWAY,
}


class Embedder:
    """Answers requests for vectors; on the worker's loop."""

    def __init__(
        self,
        memory: AsyncConnection,
        settings: Settings,
        fleet: Fleet,
        models: BoundedModels,
        notifier: SlotNotifier,
        *,
        is_paused: Callable[[str, str], Awaitable[bool]],
        most: int,
    ) -> None:
        """`is_paused`: whether an agent may not call a model now; `most`: how many requests may be
        under way at once."""
        self._is_paused = is_paused
        self._memory = memory
        self._settings = settings
        self._keyspace: Keyspace = settings.memory.keyspace
        self._fleet = fleet
        self._models = models
        self._notifier = notifier
        self._most = most
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """How many requests it works at."""
        return len(self._under_way)

    async def begin(self, request_id: str) -> None:
        """Answer a request in the background, unless enough are under way."""
        if len(self._under_way) >= self._most:
            return
        task = asyncio.create_task(self._see_to(request_id), context=Context())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def aclose(self) -> None:
        """Leave what is under way to other workers."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _see_to(self, request_id: str) -> None:
        token, lease_ms = uuid.uuid4().hex, self._settings.queue.lease_ms
        try:
            claim = embeddings.claim(self._keyspace, request_id, token, lease_ms=lease_ms)
            if not await self._memory.run(claim):
                return
            try:
                await self._answer(request_id, token)
            finally:
                await self._memory.run(embeddings.release(self._keyspace, request_id))
        except MemoryServiceError as exc:
            logger.warning(
                "the embeddings of request %s were not made; they are tried again while somebody "
                "waits: %s", shown_id(request_id), exc,
            )  # fmt: skip

    async def _answer(self, request_id: str, token: str) -> None:
        packed = await self._memory.run(embeddings.find(self._keyspace, request_id))
        if packed is None:
            return  # nobody waits any more
        request = EmbeddingRequest.unpack(packed)
        keys = self._keyspace.session(request.agent_id, f"embedding-{request_id}")
        lease_ms = self._settings.queue.lease_ms
        slot = EmbeddingSlot(
            self._memory, self._models, self._notifier, keys, token, lease_ms=lease_ms
        )
        working = asyncio.create_task(self._made(request_id, request, slot))
        keeping = asyncio.create_task(self._keep(request_id, slot, working))
        is_made = False
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.wait((working,))
            if working.cancelled() or not working.done():
                return
            answer = working.result()
            is_made = answer.refusal is None
            await self._deliver(request_id, request, answer, token)
        finally:
            for task in (working, keeping):
                task.cancel()
            await asyncio.gather(working, keeping, return_exceptions=True)
            await slot.release(was_used=is_made)

    async def _keep(
        self, request_id: str, slot: EmbeddingSlot, working: "asyncio.Task[EmbeddingAnswer]"
    ) -> None:
        """Renew claim and slot, until nobody waits any more: that stops the model."""
        lease_ms, renewed_s = self._settings.queue.lease_ms, 0.0
        look_s = min(1.0, lease_ms / 3000)
        while True:
            await asyncio.sleep(look_s)
            renewed_s += look_s
            try:
                if not await self._memory.run(embeddings.is_wanted(self._keyspace, request_id)):
                    working.cancel()
                    return
                if renewed_s * 3000 >= lease_ms:
                    renewed_s = 0.0
                    renew = embeddings.renew(self._keyspace, request_id, lease_ms=lease_ms)
                    await self._memory.run(renew)
                    await slot.renew()
            except MemoryServiceError as exc:
                logger.info("the claim on an embedding is not renewed; it is tried again: %s", exc)

    async def _made(
        self, request_id: str, request: EmbeddingRequest, slot: EmbeddingSlot
    ) -> EmbeddingAnswer:
        limits = self._settings.queue
        # As long as somebody waits for the vectors.
        while await self._is_paused(request.agent_id, request.model):
            await asyncio.sleep(PAUSED_LOOK_S)
        if not await slot.take(request.model, within_s=limits.embedding_wait_s):
            return EmbeddingAnswer(refusal=Refusal.NO_SLOT)
        try:
            return await self._vectors(request, slot)
        except LLMError as exc:
            refusal = next(
                (one for kind, one in _REFUSALS.items() if isinstance(exc, kind)), Refusal.FAILED
            )
            logger.warning(
                "the embeddings of request %s are refused: %s", shown_id(request_id), exc
            )
            return EmbeddingAnswer(refusal=refusal)

    async def _vectors(self, request: EmbeddingRequest, slot: EmbeddingSlot) -> EmbeddingAnswer:
        llm, vectors, tokens, size = self._settings.llm, list[str](), 0, 0
        for at in range(0, len(request.texts), TEXTS_AT_ONCE):
            texts = request.texts[at : at + TEXTS_AT_ONCE]
            asked = llm.embed_request(texts, model=request.model, dimensions=request.dimensions)
            part = await embed(self._fleet, llm, asked, held_slot=slot)
            size += sum(4 * len(vector) for vector in part.vectors)
            if size > MOST_VECTOR_BYTES:
                raise ResponseTooLargeError(f"the vectors are over {MOST_VECTOR_BYTES} bytes")
            vectors += map(encoded, part.vectors)
            tokens += part.tokens
            await asyncio.sleep(0)  # a part was read and written: others' turn
        return EmbeddingAnswer(vectors=tuple(vectors), tokens=tokens)

    async def _deliver(
        self, request_id: str, request: EmbeddingRequest, answer: EmbeddingAnswer, token: str
    ) -> None:
        owners = self._settings.owners_of(request.agent_id, request.user, request.sender.owner)
        leave = embeddings.answer(self._keyspace, request_id, answer.pack(), ttl_ms=EMBEDDING_MS)
        # In a trip of its own: a script that the server does not know yet is sent once more, behind
        # what came after it, and who has the answer counts the request no longer.
        for spend in charges.spend(
            self._keyspace, request_id, owners, answer.tokens, lease_token=token
        ):
            try:
                await self._memory.run(spend)
            except CorruptData as exc:
                logger.error("quotas are not applied until a key is repaired: %s", exc)
        await self._memory.run(leave)

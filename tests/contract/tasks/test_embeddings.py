"""Vectors through Redis, against a real server and the stand-in, without Celery around them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from llm import Fleet
from memory import AsyncConnection
from memory.pauses import pauses
from memory.pauses.pauses import PauseKind, PauseTarget
from memory.priority import Shares
from memory.quotas import pending
from sandbox.ollama import OllamaStandIn
from tasks.errors import LimitReached
from tasks.job.embedding import EmbeddingAnswer, EmbeddingRequest, Refusal, floats_of
from tasks.process.configuration import Settings, load_settings
from tasks.process.embedding import embedder
from tasks.process.embedding.embedder import TEXTS_AT_ONCE, Embedder
from tasks.process.head_waker import HeadWaker
from tasks.process.queue_wait import QueueWait
from tasks.process.slots import BoundedModels, SlotNotifier
from tasks.process.waiting.outages import Outages
from tasks.submit.embedding import Embedding
from tests.support.encryption import CANARY, key_of
from tests.support.memory_fixtures import Backend
from tests.support.waiting import eventually

SLOTS = {"num_parallel": 1}


class Workers:
    """Workers of one deployment, which are told of requests by turns."""

    def __init__(self, memory: AsyncConnection, settings: Settings, number: int) -> None:
        self.memory = memory
        self.settings = settings
        self.fleets: list[Fleet] = []
        self.outages: list[Outages] = []
        self.embedders = [self._embedder() for _ in range(number)]
        self.told = 0

    def _embedder(self) -> Embedder:
        keyspace, llm = self.settings.memory.keyspace, self.settings.llm
        fleet = Fleet.from_settings(llm, max_connections=20)
        self.fleets.append(fleet)
        outages = Outages(self.memory, keyspace, fleet)
        self.outages.append(outages)
        models = BoundedModels(keyspace, llm, fleet, outages, shares=Shares())
        wait = QueueWait(1.0)
        waker = HeadWaker(
            self.memory, keyspace, queue_wait=wait, wake=lambda *_: True, wakers=None,  # type: ignore[arg-type]  # nobody is woken
            take_on=lambda *_: False,
        )  # fmt: skip
        notifier = SlotNotifier(
            self.memory, queue_wait=wait, lease_ms=self.settings.queue.lease_ms,
            open_to=models.open_to, waker=waker,
        )  # fmt: skip
        return Embedder(
            self.memory, self.settings, fleet, models, notifier,
            is_paused=outages.is_paused, most=10,
        )  # fmt: skip

    async def tell(self, request_id: str) -> None:
        """As the broker does it."""
        self.told += 1
        await self.embedders[self.told % len(self.embedders)].begin(request_id)

    async def answered(self, model: str, *texts: str, within_s: float = 20.0) -> EmbeddingAnswer:
        """The answer to a request."""
        request = EmbeddingRequest(model=model, texts=texts, agent_id="default")
        made = Embedding(self.memory, self.settings, request, tell=self.tell)
        return await made.answered(within_s)

    async def aclose(self) -> None:
        """Stop all workers."""
        for each in self.embedders:
            await each.aclose()
        for fleet in self.fleets:
            await fleet.aclose()


@pytest.fixture
async def memory(real_backend: Backend) -> AsyncIterator[AsyncConnection]:
    """The connection of the loop."""
    made = AsyncConnection(real_backend.settings)
    yield made
    await made.aclose()


@pytest.fixture
def settings(real_backend: Backend, ollama: OllamaStandIn) -> Settings:
    """Those of a deployment that has one slot for each model, and gives up soon."""
    known = load_settings()
    llm = known.llm.model_copy(update={"base_url": ollama.url, "base_urls": (), **SLOTS})
    queue = known.queue.model_copy(update={"lease_s": 1.0, "grace_s": 0.3, "embedding_wait_s": 0.3})
    return replace(known, memory=real_backend.settings, llm=llm, queue=queue)


@pytest.fixture
async def workers(memory: AsyncConnection, settings: Settings) -> AsyncIterator[Workers]:
    """Two."""
    made = Workers(memory, settings, 2)
    yield made
    await made.aclose()


async def test_vectors_come_in_the_order_of_the_texts(workers: Workers) -> None:
    """More than go into one call of the model."""
    texts = [str(number) for number in range(150)]
    answer = await workers.answered("embedder", *texts)
    alone = await workers.answered("embedder", texts[99])
    assert len(answer.vectors) == 150
    assert floats_of(answer.vectors[99]) == floats_of(alone.vectors[0])
    assert answer.tokens > alone.tokens > 0


async def test_more_bytes_than_one_answer_may_have_are_refused(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all calls of the model together; an answer lies in Redis, and is written on the loop."""
    texts = [str(number) for number in range(2 * TEXTS_AT_ONCE)]
    answer = await workers.answered("embedder", *texts)
    size_bytes = sum(4 * len(floats_of(one)) for one in answer.vectors)
    monkeypatch.setattr(embedder, "MOST_VECTOR_BYTES", size_bytes)
    assert (await workers.answered("embedder", *texts)).refusal is None
    monkeypatch.setattr(embedder, "MOST_VECTOR_BYTES", size_bytes - 1)
    assert (await workers.answered("embedder", *texts)).refusal is Refusal.TOO_LARGE


async def test_more_than_there_are_slots_for_are_refused(
    workers: Workers, real_backend: Backend
) -> None:
    """After the time that they may wait; the one that has the slot is answered."""
    slow = asyncio.create_task(workers.answered("embedder:2s", "slow"))
    await eventually(lambda: workers.told == 1, what="the first is told")
    await eventually(lambda: has(real_backend, "slots"), what="it has the slot")
    flood = await asyncio.gather(*(workers.answered("embedder:2s", "x") for _ in range(5)))
    assert [one.refusal for one in flood] == [Refusal.NO_SLOT] * 5
    assert (await slow).refusal is None
    assert (await workers.answered("embedder:2s", "x")).refusal is None


async def test_what_is_paused_waits_as_long_as_somebody_does(
    workers: Workers, ollama: OllamaStandIn
) -> None:
    """No model is asked; when it is resumed, the vectors are made."""
    keyspace, model = workers.settings.memory.keyspace, PauseTarget(PauseKind.MODEL, "embedder:1s")
    await workers.memory.run(pauses.pause(keyspace, model, ""))
    await asyncio.gather(*(one.pauses.read() for one in workers.outages))
    waiting = asyncio.create_task(workers.answered("embedder:1s", "x"))
    await eventually(lambda: sum(one.under_way for one in workers.embedders) == 1, what="one waits")
    assert (await workers.answered("embedder", "x")).refusal is None, "another model"
    assert not waiting.done()
    await workers.memory.run(pauses.resume(keyspace, model))
    await asyncio.gather(*(one.pauses.read() for one in workers.outages))
    assert (await waiting).refusal is None


async def test_a_worker_that_stops_or_dies_is_followed_by_another(
    workers: Workers, real_backend: Backend
) -> None:
    """One that stops gives its claim up, one that dies lets it lapse; the answer comes late."""
    waiting = asyncio.create_task(workers.answered("embedder:1s", "x"))
    await eventually(lambda: workers.told == 1, what="the first is told")
    await eventually(lambda: has(real_backend, "slots"), what="it is begun")
    await workers.embedders[1].aclose()
    assert (await waiting).refusal is None
    assert workers.told >= 2


async def test_a_lost_message_is_told_again(workers: Workers) -> None:
    """As long as somebody waits."""
    lost: list[str] = []

    async def lossy(request_id: str) -> None:
        if lost:
            await workers.tell(request_id)
        lost.append(request_id)

    request = EmbeddingRequest(model="embedder", texts=("x",), agent_id="default")
    made = Embedding(workers.memory, workers.settings, request, tell=lossy)
    assert (await made.answered(20)).refusal is None
    assert len(lost) == 2


async def test_who_gives_up_stops_the_model_and_leaves_nothing(
    workers: Workers, ollama: OllamaStandIn, real_backend: Backend
) -> None:
    """Neither text nor claim, nor a job that counts."""
    before = ollama.stats.disconnects
    with pytest.raises(TimeoutError):
        await workers.answered("embedder:30s", "x", within_s=0.4)
    await eventually(lambda: ollama.stats.disconnects > before, what="the model is told to stop")
    await eventually(lambda: not left(real_backend), what="nothing is left")
    assert await workers.memory.run(pending.size(workers.settings.memory.keyspace)) == 0


async def test_the_bound_on_all_jobs_holds(workers: Workers) -> None:
    """A request that is one too many is refused, and counts no longer."""
    queue = workers.settings.queue.model_copy(update={"max_pending_total": 1})
    few = replace(workers.settings, queue=queue)
    waiting = asyncio.create_task(workers.answered("embedder:1s", "x"))
    await eventually(lambda: workers.told == 1, what="the first is told")
    request = EmbeddingRequest(model="embedder", texts=("x",), agent_id="default")
    with pytest.raises(LimitReached, match="CHAT_MAX_PENDING_TOTAL"):
        await Embedding(workers.memory, few, request, tell=workers.tell).answered(5)
    assert (await waiting).refusal is None
    assert await workers.memory.run(pending.size(workers.settings.memory.keyspace)) == 0


@pytest.mark.parametrize(("keys", "is_plain"), [(None, True), (key_of("a"), False)])
async def test_texts_and_vectors_are_encrypted(
    memory: AsyncConnection,
    settings: Settings,
    real_backend: Backend,
    keys: str | None,
    is_plain: bool,
) -> None:
    """With keys no text and no vector lies in Redis as it is; without, they do."""
    secret = None if keys is None else SecretStr(keys)
    own = settings.memory.model_copy(update={"encryption_keys": secret})
    workers = Workers(memory, replace(settings, memory=own), 1)
    seen: list[bytes] = []

    async def looking(request_id: str) -> None:
        seen.append(lying(real_backend))
        await workers.tell(request_id)
        await eventually(lambda: "answer" in str(left(real_backend)), what="it is answered")
        seen.append(lying(real_backend))

    request = EmbeddingRequest(model="embedder", texts=(CANARY,), agent_id="default")
    answer = await Embedding(memory, workers.settings, request, tell=looking).answered(20)
    await workers.aclose()
    assert len(floats_of(answer.vectors[0])) == 8
    assert (CANARY.encode() in seen[0], answer.vectors[0].encode() in seen[1]) == (
        is_plain,
        is_plain,
    )


def has(backend: Backend, kind: str) -> bool:
    """Whether there is a key of a kind."""
    return any(f":{kind}:" in key for key in backend.keys())  # noqa: SIM118  # no dict


def left(backend: Backend) -> list[str]:
    """What there is of requests for vectors."""
    return [key for key in backend.keys() if ":embedding" in key]  # noqa: SIM118  # no dict


def lying(backend: Backend) -> bytes:
    """All of it, as it lies in Redis."""
    return b"".join(backend.observer.get(key) or b"" for key in left(backend))

"""A stream that comes faster than it need be looked at: what comes meanwhile is left in the socket.

The reply is the same; the share of its time that is gathered is all of it here.
"""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from llm import ChatRequest, Delta, Final, OllamaClient, OllamaUnreachableError
from llm.http import answer
from sandbox.ollama import OllamaStandIn
from tests.support.waiting import eventually

FAST = "slow-tokens:120x3ms"
TOKENS = 120
ENDLESS = "slow-tokens:100000x3ms"


@pytest.fixture(scope="module")
def standin() -> Iterator[OllamaStandIn]:
    """One server for all."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture(autouse=True)
def gathers(standin: OllamaStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the test before, and gathering begins at once."""
    standin.reset()
    monkeypatch.setattr(answer, "SHARE_GATHERED", 1.0)


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long streams were left alone."""
    seen: list[float] = []
    gather = answer.Answer._gather

    async def noting(of: answer.Answer, seconds: float) -> None:
        seen.append(seconds)
        await gather(of, seconds)

    monkeypatch.setattr(answer.Answer, "_gather", noting)
    return seen


def chat(model: str) -> ChatRequest:
    """A question to this model."""
    return ChatRequest(model=model, messages=({"role": "user", "content": "Sing."},))


async def looks(client: OllamaClient, model: str) -> list[list[Delta | Final]]:
    """What each look at the stream has brought."""
    async with aclosing(client.chunks(chat(model))) as chunks:
        return [list(records) async for records in chunks]


def texts(found: list[list[Delta | Final]]) -> list[str]:
    """The pieces of the reply."""
    return [one.text for records in found for one in records if isinstance(one, Delta)]


async def test_a_fast_stream_is_looked_at_less_often_than_it_sends(
    standin: OllamaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no piece is missing or moved, on a connection that is used once more."""
    async with OllamaClient(standin.url, max_connections=1) as client:
        gathered = [await looks(client, FAST) for _ in range(2)]
        monkeypatch.setattr(answer, "LEAST_GATHERED_S", 60.0)
        each = await looks(client, FAST)
    for found in gathered:
        assert len(found) < TOKENS * 0.5
        assert texts(found) == texts(each)
        assert isinstance(found[-1][0], Final)


async def test_a_slow_stream_is_never_left_alone(
    standin: OllamaStandIn, gathered: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to gather, and each piece would be late."""
    monkeypatch.setattr(answer, "FAST_S", 0.0)  # as slow as any machine may be
    async with OllamaClient(standin.url) as client:
        await looks(client, "slow-tokens:10x20ms")
    assert gathered == []


async def test_who_leaves_meanwhile_closes_the_connection(
    standin: OllamaStandIn, gathered: list[float]
) -> None:
    """As a worker does that has been told to cancel."""
    async with OllamaClient(standin.url) as client:
        reading = asyncio.create_task(looks(client, ENDLESS))
        await eventually(lambda: len(gathered) > 1, what="a fast stream")
        reading.cancel()
        await eventually(lambda: standin.stats.disconnects == 1, what="the client leaves")
    assert reading.cancelled()


async def test_who_is_left_meanwhile_hears_of_it(
    standin: OllamaStandIn, gathered: list[float]
) -> None:
    """A server that is given up, or a client that is closed: with the next look."""
    client = OllamaClient(standin.url)
    reading = asyncio.create_task(looks(client, ENDLESS))
    await eventually(lambda: len(gathered) > 1, what="a fast stream")
    await client.aclose()
    with pytest.raises(OllamaUnreachableError):
        await reading

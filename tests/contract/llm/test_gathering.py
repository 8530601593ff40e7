"""A stream that comes faster than it need be looked at: what comes meanwhile is left in the socket.

The reply is the same. Most tests have a stream rest although it is alone, and from its begin.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from llm import (
    ChatRequest,
    Delta,
    Final,
    LLMError,
    LLMTimeoutError,
    OllamaClient,
    OllamaUnreachableError,
    Timeouts,
)
from llm.http import answer
from llm.http.dialect import OLLAMA, OPENAI, Dialect
from sandbox.ollama import OllamaStandIn
from tests.support.machine import scaled
from tests.support.waiting import eventually

FAST = "slow-tokens:120x3ms"
TOKENS = 120
ENDLESS = "slow-tokens:100000x3ms"
FOR_EVER_S = 3600.0


@pytest.fixture(scope="module")
def standin() -> Iterator[OllamaStandIn]:
    """One server for all."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_before(standin: OllamaStandIn) -> None:
    """Nothing is left of the test before."""
    standin.reset()


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long streams have rested so far."""
    seen: list[float] = []
    rest = answer.Answer._rest

    def noting(of: answer.Answer, seconds: float) -> None:
        seen.append(seconds)
        rest(of, seconds)

    monkeypatch.setattr(answer.Answer, "_rest", noting)
    return seen


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is alone rests too, and from its begin."""
    monkeypatch.setattr(answer, "RESTED_PER_CALL_S", FOR_EVER_S)
    monkeypatch.setattr(answer, "SHARE_RESTED", math.inf)


@pytest.fixture
def for_ever(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test lives to see the end of a rest."""
    monkeypatch.setattr(answer, "MOST_RESTED_S", FOR_EVER_S)


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


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(("dialect", "path"), [(OLLAMA, ""), (OPENAI, "/v1")])
async def test_a_fast_stream_is_looked_at_less_often_than_it_sends(
    standin: OllamaStandIn, dialect: Dialect, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no piece is missing or moved, on a connection that is used once more."""
    async with OllamaClient(standin.url + path, max_connections=1, dialect=dialect) as client:
        gathered = [await looks(client, FAST) for _ in range(2)]
        monkeypatch.setattr(answer, "LEAST_RESTED_S", FOR_EVER_S)
        each = await looks(client, FAST)
    for found in gathered:
        assert len(found) < TOKENS * 0.5
        assert texts(found) == texts(each)
        assert isinstance(found[-1][0], Final)


async def test_a_stream_that_is_alone_never_rests(
    standin: OllamaStandIn, rests: list[float]
) -> None:
    """The processor has nothing else to do."""
    async with OllamaClient(standin.url) as client:
        await looks(client, FAST)
    assert rests == []


async def test_the_more_streams_the_longer_they_rest(
    standin: OllamaStandIn, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what all looks cost grows less than their number."""
    monkeypatch.setattr(answer, "SHARE_RESTED", math.inf)
    monkeypatch.setattr(answer, "MOST_RESTED_S", 10.0)
    monkeypatch.setattr(answer, "RESTED_PER_CALL_S", 0.02)
    async with OllamaClient(standin.url) as client:
        many = [asyncio.create_task(looks(client, ENDLESS)) for _ in range(5)]
        await eventually(lambda: 0.1 in rests, what="a rest for five")
        for one in many:
            one.cancel()
    assert max(rests) == 0.1


@pytest.mark.usefixtures("alone")
async def test_a_rest_lasts_for_a_share_of_the_reply_at_most(
    standin: OllamaStandIn, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short reply does not end much later for it."""
    monkeypatch.setattr(answer, "SHARE_RESTED", 0.1)
    monkeypatch.setattr(answer, "MOST_RESTED_S", 1.0)
    clock = asyncio.get_running_loop().time
    async with OllamaClient(standin.url) as client:
        began_s = clock()
        await looks(client, FAST)
        lasted_s = clock() - began_s
    assert rests
    assert max(rests) <= lasted_s * 0.1


@pytest.mark.usefixtures("alone")
async def test_a_slow_stream_never_rests(
    standin: OllamaStandIn, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to gather, and each piece would be late."""
    monkeypatch.setattr(answer, "MOST_RESTED_S", 0.0)  # as slow as any machine may be
    monkeypatch.setattr(answer, "LEAST_RESTED_S", 0.0)
    async with OllamaClient(standin.url) as client:
        await looks(client, "slow-tokens:10x20ms")
    assert rests == []


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("ends", ["error-line", "no-done", "cut", "reset"])
async def test_a_stream_that_breaks_while_it_rests_fails_as_any_other(
    standin: OllamaStandIn, ends: str, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it has said before."""
    async with OllamaClient(standin.url) as client:
        failures = [await _failure(client, f"{ends}:60x3ms")]
        assert rests
        monkeypatch.setattr(answer, "LEAST_RESTED_S", FOR_EVER_S)
        failures.append(await _failure(client, f"{ends}:60x3ms"))
    assert failures[0] == failures[1]


async def _failure(client: OllamaClient, model: str) -> tuple[list[str], type[LLMError]]:
    said: list[str] = []
    with pytest.raises(LLMError) as failed:
        async with aclosing(client.stream(chat(model))) as records:
            said += [one.text async for one in records if isinstance(one, Delta)]
    return said, failed.type


@pytest.mark.usefixtures("for_ever")
async def test_who_leaves_a_stream_that_rests_closes_the_connection(
    standin: OllamaStandIn, rests: list[float]
) -> None:
    """At once, as a worker does that has been told to cancel."""
    async with OllamaClient(standin.url) as client:
        reading = asyncio.create_task(looks(client, ENDLESS))
        await eventually(lambda: rests, what="a fast stream")
        reading.cancel()
        await eventually(lambda: standin.stats.disconnects == 1, what="the client leaves")
    assert reading.cancelled()


@pytest.mark.usefixtures("for_ever")
async def test_who_is_left_while_it_rests_hears_of_it(
    standin: OllamaStandIn, rests: list[float]
) -> None:
    """A server that is given up, or a client that is closed: at once."""
    client = OllamaClient(standin.url)
    reading = asyncio.create_task(looks(client, ENDLESS))
    await eventually(lambda: rests, what="a fast stream")
    await client.aclose()
    async with asyncio.timeout(scaled(10)):
        with pytest.raises(OllamaUnreachableError):
            await reading


@pytest.mark.usefixtures("for_ever")
async def test_the_time_of_a_call_runs_out_while_it_rests(
    standin: OllamaStandIn, rests: list[float]
) -> None:
    """A rest is a wait for the server as any other."""
    limits = Timeouts(total_s=scaled(1.0))
    async with OllamaClient(standin.url, timeouts=limits) as client, asyncio.timeout(scaled(10)):
        with pytest.raises(LLMTimeoutError):
            await looks(client, ENDLESS)
    assert rests

"""Which failed calls are outages of their server, and which count as the request's own failure."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing

import pytest

from llm import (
    ChatRequest,
    Fleet,
    LLMError,
    OllamaClient,
    OllamaFailedError,
    OllamaUnreachableError,
    StreamCutError,
    Timeouts,
)
from sandbox.ollama import OllamaStandIn
from tests.support.machine import scaled

LIMITS = Timeouts(first_token_s=scaled(5), idle_s=scaled(2), total_s=scaled(20))


@pytest.fixture
def ollama() -> Iterator[OllamaStandIn]:
    with OllamaStandIn(num_parallel=4) as started:
        yield started


def fleet_of(*servers: OllamaStandIn) -> Fleet:
    return Fleet([OllamaClient(one.url, timeouts=LIMITS) for one in servers], timeouts=LIMITS)


def chat(model: str) -> ChatRequest:
    return ChatRequest(model=model, messages=({"role": "user", "content": "Tell me more."},))


async def nobody(_: Fleet, __: str) -> None:
    """Whoever might have found the server away looked elsewhere."""


async def looks(fleet: Fleet, url: str) -> None:
    """As the look does that a worker makes for all."""
    assert not await fleet.answers(url)


async def calls(fleet: Fleet, _: str) -> None:
    """As another job does."""
    with pytest.raises(OllamaUnreachableError) as caught:
        await fleet.chat(chat("ok"))
    assert caught.value.is_outage


async def is_told(fleet: Fleet, url: str) -> None:
    """By a worker that has looked."""
    fleet.note_look((url,), ())


Seen = Callable[[Fleet, str], Awaitable[None]]


@pytest.mark.parametrize(
    ("seen", "is_outage"), [(looks, True), (calls, True), (is_told, True), (nobody, False)]
)
async def test_a_call_that_notices_late_that_it_broke_off_met_the_outage_that_others_saw(
    ollama: OllamaStandIn, seen: Seen, is_outage: bool
) -> None:
    """Its own look finds the server back. Where nobody saw it away the request may have done it."""
    async with fleet_of(ollama) as fleet:
        stream = fleet.stream(chat("slow-tokens:50x100ms"))
        async with aclosing(stream) as records:
            await anext(records)
            ollama.stop()
            await seen(fleet, ollama.url)
            ollama.start()
            assert await fleet.answers(ollama.url)
            with pytest.raises(StreamCutError) as caught:
                async for _ in records:
                    pass
    assert caught.value.is_outage is is_outage


@pytest.mark.parametrize("fault", ["reset", "cut", "close"])
async def test_an_outage_before_a_call_excuses_no_break_of_its_own(
    ollama: OllamaStandIn, fault: str
) -> None:
    """A request that brings its server down counts, though the server was away a moment before."""
    async with fleet_of(ollama) as fleet:
        ollama.stop()
        await looks(fleet, ollama.url)
        ollama.start()
        with pytest.raises(LLMError) as caught:
            await fleet.chat(chat(fault))
    assert isinstance(caught.value, StreamCutError | OllamaUnreachableError)
    assert not caught.value.is_outage


async def test_what_a_server_says_of_a_failure_is_no_outage_though_it_was_away_meanwhile(
    ollama: OllamaStandIn,
) -> None:
    """It can say that a model failed only where the connection has lasted."""
    async with fleet_of(ollama) as fleet, aclosing(fleet.stream(chat("error-line"))) as records:
        await anext(records)
        await is_told(fleet, ollama.url)
        with pytest.raises(OllamaFailedError) as caught:
            async for _ in records:
                pass
    assert not caught.value.is_outage


async def test_an_outage_before_the_server_was_asked_excuses_no_call_that_waited_for_it(
    ollama: OllamaStandIn,
) -> None:
    """The call was on its way already, but no request of it."""
    async with fleet_of(ollama) as fleet:
        stream = fleet.stream(chat("reset"), on_server=lambda url: fleet.note_look((url,), ()))
        async with aclosing(stream) as records:
            with pytest.raises(StreamCutError) as caught:
                async for _ in records:
                    pass
    assert not caught.value.is_outage

"""Leaving a call early stops the model: closing the connection is the only way to tell Ollama."""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from llm import (
    ChatRequest,
    Delta,
    Final,
    Fleet,
    LLMService,
    LLMSettings,
    OllamaClient,
    OllamaUnreachableError,
    Timeouts,
    TotalTimeoutError,
)
from sandbox.ollama import OllamaStandIn, reply_to
from tests.support.effort import effort
from tests.support.machine import scaled
from tests.support.waiting import eventually, wait_until

MESSAGES = ({"role": "user", "content": "Sing of Sundiata."},)
SOON_S = scaled(0.5)
"""What "at once" may mean on a loaded machine."""

CHURN_CALLS = effort(300, long=1000)
CHURN_AT_ONCE = 20
FLEET_CHURN_CALLS = effort(300, long=10_000)


@pytest.fixture(scope="module")
def standin() -> Iterator[OllamaStandIn]:
    with OllamaStandIn() as server:
        yield server


@pytest.fixture
def ollama(standin: OllamaStandIn) -> Iterator[OllamaStandIn]:
    """After each test the server must have no request open: no client leaves one behind."""
    standin.reset()
    yield standin
    wait_until(lambda: standin.stats.active == 0, timeout_s=5, what="no open request")


def chat(model: str) -> ChatRequest:
    return ChatRequest(model=model, messages=MESSAGES)


async def until_left(ollama: OllamaStandIn, since_s: float) -> None:
    await eventually(lambda: ollama.stats.disconnects == 1, what="the server sees the client leave")
    (call,) = ollama.calls
    assert call.disconnected_s is not None
    assert call.disconnected_s - since_s < SOON_S


async def test_leaving_the_block_early_closes_the_connection(ollama: OllamaStandIn) -> None:
    """As a worker does that has been told to cancel."""
    async with OllamaClient(ollama.url) as client:
        async with aclosing(client.stream(chat("endless"))) as records:
            async for record in records:
                assert isinstance(record, Delta)
                break
        await until_left(ollama, time.monotonic())


@pytest.mark.parametrize("model", ["hang", "stall", "endless"])
async def test_cancelling_the_task_closes_the_connection(ollama: OllamaStandIn, model: str) -> None:
    """Before the first byte, in silence, and while it flows; the cancel is not swallowed."""
    async with OllamaClient(ollama.url) as client:
        task = asyncio.create_task(client.chat(chat(model)))
        await eventually(lambda: ollama.stats.active == 1, what="the request has arrived")
        if model != "hang":
            await eventually(lambda: ollama.stats.tokens >= 3, what="the model speaks")
        cancelled_s = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_left(ollama, cancelled_s)


async def test_closing_the_client_ends_the_calls_in_flight(ollama: OllamaStandIn) -> None:
    """They fail as retryable, and later calls are refused likewise."""
    client = OllamaClient(ollama.url)
    task = asyncio.create_task(client.chat(chat("endless")))
    await eventually(lambda: ollama.stats.tokens >= 3, what="the model speaks")
    await client.aclose()
    await client.aclose()
    with pytest.raises(OllamaUnreachableError, match="closed"):
        await task
    with pytest.raises(OllamaUnreachableError, match="closed"):
        await client.chat(chat("ok"))
    assert not await client.health_check()


def test_closing_a_synchronous_stream_closes_the_connection(ollama: OllamaStandIn) -> None:
    """The same for the service."""
    with LLMService(LLMSettings(_env_file=None, base_url=ollama.url)) as service:
        texts = service.stream_chat("hello", model="endless")
        assert next(texts)
        texts.close()
        wait_until(lambda: ollama.stats.disconnects == 1, what="the server sees the client leave")


async def test_a_connection_is_kept_from_call_to_call(ollama: OllamaStandIn) -> None:
    """One connection is enough for calls that follow each other, so with a limit of one."""
    async with OllamaClient(ollama.url, max_connections=1) as client:
        for _ in range(3):
            assert (await client.chat(chat("ok"))).text
            assert await client.health_check()


async def test_more_calls_than_connections_wait_for_their_turn(ollama: OllamaStandIn) -> None:
    """The limit holds, and every call is answered."""
    async with OllamaClient(ollama.url, max_connections=3) as client:
        replies = await asyncio.gather(*(client.chat(chat("delay:20ms")) for _ in range(12)))
    assert {reply.text for reply in replies} == {reply_to(list(MESSAGES))}
    assert ollama.stats.peak == 3


async def test_more_than_a_hundred_calls_can_be_in_flight(ollama: OllamaStandIn) -> None:
    """aiohttp's own limit of 100 does not apply."""
    async with OllamaClient(ollama.url, max_connections=150) as client:
        tasks = [asyncio.create_task(client.chat(chat("hang"))) for _ in range(150)]
        await eventually(lambda: ollama.stats.active == 150, what="150 requests at once")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_time_that_the_reader_takes_is_not_silence(ollama: OllamaStandIn) -> None:
    """A slow consumer is neither timed out nor cancelled."""
    limits = Timeouts(idle_s=scaled(0.15))
    async with OllamaClient(ollama.url, timeouts=limits) as client:
        async with aclosing(client.stream(chat("slow-tokens:3x10ms"))) as records:
            async for record in records:
                if isinstance(record, Delta):
                    await asyncio.to_thread(wait_for_s, scaled(0.4))
        assert isinstance(record, Final)


def wait_for_s(seconds: float) -> None:
    ends_at_s = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= ends_at_s, what="time passes")


async def test_a_reader_that_outlasts_the_whole_time_gets_the_time_out_from_its_next_read(
    ollama: OllamaStandIn,
) -> None:
    """Not a cancellation out of the blue in code of its own."""
    async with OllamaClient(ollama.url, timeouts=Timeouts(total_s=0.1)) as client:
        async with aclosing(client.stream(chat("endless"))) as records:
            await anext(records)
            await asyncio.to_thread(wait_for_s, 0.3)
            with pytest.raises(TotalTimeoutError):
                async for _ in records:
                    pass
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # in a task


async def test_a_time_out_leaves_no_cancellation_behind(ollama: OllamaStandIn) -> None:
    """The task goes on as if nothing had been cancelled."""
    async with OllamaClient(ollama.url) as client:
        with pytest.raises(TotalTimeoutError):
            await client.chat(chat("stall"), timeouts=Timeouts(total_s=0.3))
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert (await client.chat(chat("ok"))).text


async def test_an_outer_time_out_stays_what_it_is(ollama: OllamaStandIn) -> None:
    """`asyncio.timeout` around a call raises TimeoutError and closes the connection."""
    async with OllamaClient(ollama.url) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.chat(chat("hang"))
        await eventually(lambda: ollama.stats.disconnects == 1, what="the client has left")


async def test_a_call_may_have_limits_of_its_own(ollama: OllamaStandIn) -> None:
    """A cold load may take longer than a chat."""
    async with OllamaClient(ollama.url, timeouts=Timeouts(first_token_s=0.1)) as client:
        reply = await client.chat(chat("delay:0.3s"), timeouts=Timeouts(first_token_s=5))
        assert reply.text


@pytest.mark.long
async def test_after_many_random_cancels_every_call_works(ollama: OllamaStandIn) -> None:
    """No connection, and no request on the server, is left behind by a cancel at any moment."""
    dice = random.Random(7)
    async with OllamaClient(ollama.url, max_connections=CHURN_AT_ONCE // 2) as client:
        held_slot = asyncio.Semaphore(CHURN_AT_ONCE)

        async def one_call() -> bool:
            async with held_slot:
                model = dice.choice(
                    ["ok", "delay:5ms", "slow-tokens:20x1ms", "hang", "endless:x1ms"]
                )
                task = asyncio.create_task(client.chat(chat(model)))
                await asyncio.wait([task], timeout=dice.random() * 0.03)
                task.cancel()
                await asyncio.wait([task])
                return task.cancelled()

        cancelled = await asyncio.gather(*(one_call() for _ in range(CHURN_CALLS)))
        assert sum(cancelled) > CHURN_CALLS // 4
        await eventually(lambda: ollama.stats.active == 0, what="the server has no open request")
        replies = await asyncio.gather(*(client.chat(chat("ok")) for _ in range(50)))
        assert all(reply.text == reply_to(list(MESSAGES)) for reply in replies)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_random_cancels_leave_no_slot_of_any_server_taken() -> None:
    """Cancels at any moment of calls that are spread over servers with few slots."""
    dice = random.Random(11)
    model = "slow-tokens:10x1ms-slots2"
    with OllamaStandIn(models=[model]) as one, OllamaStandIn(models=[model]) as other:
        servers = (one, other)
        clients = [OllamaClient(server.url, max_connections=20) for server in servers]
        async with Fleet(clients) as fleet:
            await fleet.chat(chat(model))
            held_slot = asyncio.Semaphore(CHURN_AT_ONCE)

            async def one_call(number: int) -> bool:
                async with held_slot:
                    task = asyncio.create_task(fleet.chat(chat(model), session=f"s-{number}"))
                    await asyncio.wait([task], timeout=dice.random() * 0.06)
                    task.cancel()
                    await asyncio.wait([task])
                    return task.cancelled()

            cancelled = await asyncio.gather(*(one_call(n) for n in range(FLEET_CHURN_CALLS)))
            assert sum(cancelled) > FLEET_CHURN_CALLS // 4
            await eventually(
                lambda: not any(server.stats.active for server in servers),
                what="no server has an open request",
            )
            assert {server.in_flight for server in fleet.servers} == {0}
            replies = await asyncio.gather(
                *(fleet.chat(chat(model), session=f"s-{n}") for n in range(20))
            )
            assert {reply.final.done_reason for reply in replies} == {"stop"}
        assert all(server.stats.peak > 1 for server in servers)

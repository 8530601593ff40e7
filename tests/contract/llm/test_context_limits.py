"""The token budgets of a model's prompts, asked of the stand-in."""

import asyncio

import pytest

from llm import (
    UNLIMITED,
    ChatRequest,
    ContextLimits,
    ContextOverflowError,
    Final,
    Fit,
    LLMSettings,
    ModelCatalog,
    OllamaClient,
    OllamaUnreachableError,
    fit,
)
from sandbox.ollama import OllamaStandIn
from tests.support.clock import Clock
from tests.support.machine import scaled
from tests.support.waiting import eventually

LONG = tuple({"role": "user", "content": "a long story " * 40} for _ in range(20))


@pytest.fixture
def clock() -> Clock:
    """Of the limits."""
    return Clock()


@pytest.fixture
async def context_limits(client: OllamaClient, clock: Clock) -> ContextLimits:
    """Of the stand-in."""
    return ContextLimits([client], LLMSettings(), clock=clock)


def request(model: str, messages: tuple[dict[str, str], ...] = LONG[:1]) -> ChatRequest:
    """A call of `model`."""
    return ChatRequest(model=model, messages=messages)


def fitting(messages: tuple[dict[str, str], ...] = LONG[:1]) -> Fit:
    """Its estimate."""
    return fit([], [], messages, UNLIMITED)


async def test_a_model_that_is_not_loaded_is_assumed_to_be_small(
    context_limits: ContextLimits,
) -> None:
    """As Ollama loads it without a graphics card; known it is only afterwards."""
    budget = await context_limits.budget("cold-one", 100)
    assert (budget.window_tokens, budget.is_known) == (4096, False)


async def test_the_window_of_a_loaded_model_is_known(
    context_limits: ContextLimits, client: OllamaClient
) -> None:
    """After the first reply the true window is known."""
    await context_limits.budget("warm-one", 100)
    reply = await client.chat(request("warm-one"))
    context_limits.learn("warm-one", fitting(), reply.final)
    budget = await context_limits.budget("warm-one", 100)
    assert (budget.window_tokens, budget.is_known) == (32_768, True)


async def test_learning_the_window_costs_no_call_per_turn(
    context_limits: ContextLimits, client: OllamaClient, ollama: OllamaStandIn, clock: Clock
) -> None:
    """One look-up for many turns, also when they come at once; renewed in the background."""
    await client.chat(request("busy-one"))
    budgets = await asyncio.gather(*(context_limits.budget("busy-one", 100) for _ in range(50)))
    assert {budget.window_tokens for budget in budgets} == {32_768}
    assert ollama.stats.lookups == 1
    clock.now_s += 61
    assert (await context_limits.budget("busy-one", 100)).is_known
    await eventually(lambda: ollama.stats.lookups == 2, what="it is looked up anew")


async def test_models_that_are_looked_up_at_once_share_the_look_up(
    context_limits: ContextLimits, client: OllamaClient, ollama: OllamaStandIn
) -> None:
    """The server lists all that it has loaded in one answer."""
    models = [f"one-of-{number}" for number in range(5)]
    for model in models:
        await client.chat(request(model))
    budgets = await asyncio.gather(*(context_limits.budget(model, 100) for model in models))
    assert all(budget.is_known for budget in budgets)
    assert ollama.stats.lookups == 1


async def test_window_and_abilities_come_from_one_description(
    context_limits: ContextLimits, client: OllamaClient, ollama: OllamaStandIn
) -> None:
    """Of a model that is not loaded: /api/ps and /api/show, and nothing more for its abilities."""
    await context_limits.budget("vision", 100)
    asked = ollama.stats.lookups
    details = await client.catalog.details("vision")
    assert details.capabilities == {"completion", "tools", "vision"}
    assert ollama.stats.lookups == asked


async def test_the_setting_is_known_without_any_call(client: OllamaClient) -> None:
    """LLM_NUM_CTX is sent with each request, so the window is that."""
    context_limits = ContextLimits([client], LLMSettings(num_ctx=8192))
    budget = await context_limits.budget("another-one", None)
    assert (budget.window_tokens, budget.is_known) == (8192, True)


class Deaf:
    """A server that never answers a look-up, or fails it."""

    base_url = "http://deaf:1"
    clock_ahead_s = 0.0

    def __init__(self, *, fails: bool) -> None:
        self.catalog = ModelCatalog(self)
        self.asked = 0
        self._fails = fails

    async def lookup(self, path: str, *, content: bytes | None = None, model: str = "") -> bytes:
        """Nothing."""
        self.asked += 1
        if not self._fails:
            await asyncio.Event().wait()
        raise OllamaUnreachableError("nobody there")


@pytest.mark.parametrize("fails", [True, False])
async def test_a_server_that_does_not_tell_holds_nobody_up(clock: Clock, fails: bool) -> None:
    """A second at most, then an assumption serves; and it is left in peace for a while."""
    deaf = Deaf(fails=fails)
    context_limits = ContextLimits([deaf], LLMSettings(), clock=clock)
    async with asyncio.timeout(scaled(5)):
        budgets = await asyncio.gather(*(context_limits.budget("m", 10) for _ in range(20)))
    assert {(budget.window_tokens, budget.is_known) for budget in budgets} == {(4096, False)}
    assert deaf.asked == 1
    if fails:
        await context_limits.budget("m", 10)
        assert deaf.asked == 1


async def test_a_refusal_teaches_window_and_ratio(
    context_limits: ContextLimits, client: OllamaClient
) -> None:
    """So that the second try is short enough."""
    model = "window:ctx3000-dense3"
    with pytest.raises(ContextOverflowError) as caught:
        await client.chat(request(model, LONG))
    budget = await context_limits.budget_after(model, 100, fitting(LONG), caught.value)
    assert (budget.window_tokens, budget.is_known, budget.is_measured) == (3000, True, True)
    assert 2.5 < budget.ratio < 3.5
    assert (await context_limits.budget(model, 100)).ratio > 2.5, "and it is remembered"


async def test_a_refusal_without_counts_makes_the_prompt_shorter(
    context_limits: ContextLimits, client: OllamaClient
) -> None:
    """The rendered path names no count: the prompt was longer than the window, that is all."""
    model = "rendered:ctx2000"
    await client.chat(request(model))
    with pytest.raises(ContextOverflowError) as caught:
        await client.chat(request(model, LONG))
    assert caught.value.n_ctx is None
    budget = await context_limits.budget_after(model, 100, fitting(LONG), caught.value)
    assert budget.window_tokens == 2000
    assert fitting(LONG).plain_tokens * budget.ratio > 2000


class Slow:
    """A server whose first answer, of a model not loaded yet, is still on its way."""

    base_url = "http://slow:1"
    clock_ahead_s = 0.0

    def __init__(self) -> None:
        self.catalog = ModelCatalog(self)
        self.first = asyncio.Event()
        self.asked = 0

    async def lookup(self, path: str, *, content: bytes | None = None, model: str = "") -> bytes:
        """What it has."""
        if path == "/api/show":
            return b"{}"
        self.asked += 1
        if self.asked == 1:
            await self.first.wait()
            return b'{"models":[]}'
        return b'{"models":[{"name":"m:latest","context_length":1000}]}'


async def test_a_look_that_began_before_the_refusal_does_not_hide_the_window() -> None:
    """Its answer is of the time before: the server is asked once more."""
    slow = Slow()
    context_limits = ContextLimits([slow], LLMSettings())
    asked = asyncio.create_task(context_limits.budget("m", 100))
    await eventually(lambda: slow.asked == 1, what="the first look")
    refusal = ContextOverflowError("too long")
    second = asyncio.create_task(context_limits.budget_after("m", 100, fitting(LONG), refusal))
    await asyncio.sleep(0)
    slow.first.set()
    assert (await second).window_tokens == 1000
    await asked
    assert slow.asked == 2


async def test_counts_are_learned_from(context_limits: ContextLimits) -> None:
    """Per model; a count that was left out teaches nothing."""
    fitted = fitting(LONG)
    context_limits.learn(
        "m", fitted, Final(model="m", prompt_tokens=round(fitted.plain_tokens * 1.5))
    )
    context_limits.learn("m", fitted, Final(model="m", prompt_tokens=0))
    assert (await context_limits.budget("m", 100)).ratio == pytest.approx(1.5, abs=0.01)
    assert (await context_limits.budget("n", 100)).ratio == 1


async def test_with_several_servers_a_prompt_fits_each_of_them(
    client: OllamaClient, ollama: OllamaStandIn
) -> None:
    """A call may move from one to another; a server that does not answer does not count."""
    await client.chat(request("shared-one"))
    with OllamaStandIn() as other:
        async with OllamaClient(other.url) as narrow:
            small = ChatRequest(model="shared-one", messages=LONG[:1], options={"num_ctx": 1024})
            await narrow.chat(small)
            context_limits = ContextLimits([client, narrow, Deaf(fails=True)], LLMSettings())
            budget = await context_limits.budget("shared-one", 100)
            assert (budget.window_tokens, budget.is_known) == (1024, True)

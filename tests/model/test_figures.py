"""Figures of real model servers, printed for docs/performance.md: `make test-model`."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from statistics import median

import httpx
import pytest

from llm import ChatRequest, LLMSettings, OllamaClient
from llm.context.budget import UNLIMITED, fit
from tests.support.servers.llama_server import KEY, NoLlamaServer, busy_slots, llama_server
from tests.support.servers.llama_server import MODEL as LLAMA
from tests.support.waiting import eventually

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

MODEL, ROUNDS = "gemma", 9
TEXTS = {
    "English": "The West African Power Pool trades electricity between its members. " * 12,
    "French": "Le marché régional de l'électricité échange de l'énergie entre ses membres. " * 12,
    "JSON": '{"country": "Ghana", "demand_mw": 3469, "peak": true}, ' * 12,
}


@pytest.fixture
async def client(real: httpx.Client) -> AsyncIterator[OllamaClient]:
    """A client of the real Ollama, its model loaded."""
    async with OllamaClient(str(real.base_url).rstrip("/")) as made:
        await made.chat(asked("Hello"))
        yield made


def asked(text: str, max_tokens: int = 1) -> ChatRequest:
    """One question, answered alike each time."""
    message = {"role": "user", "content": text}
    return ChatRequest(model=MODEL, messages=(message,), max_tokens=max_tokens, temperature=0)


async def seconds(call: Callable[[], Awaitable[object]]) -> float:
    """How long a call takes, in the median."""
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - started)
    return median(taken)


async def test_the_estimate_of_a_prompt(
    client: OllamaClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against the count: never so low that a budget is worth nothing."""
    for name, text in TEXTS.items():
        request = asked(text)
        estimated = fit((), (), request.messages, UNLIMITED).estimated_tokens
        counted = (await client.chat(request)).final.prompt_tokens
        with capsys.disabled():
            print(f"\nestimate of {name}: {estimated} tokens, counted {counted}", end="")
        assert 0.5 < estimated / counted < 3


async def test_the_time_that_the_client_adds(
    client: OllamaClient, real: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """To a plain POST of the same body: one token, the prompt cached."""
    request = asked("Hello")
    body = request.body()
    async with httpx.AsyncClient(base_url=real.base_url, trust_env=False, timeout=60) as plain:
        without = await seconds(lambda: plain.post("/api/chat", content=body))
    with_us = await seconds(lambda: client.chat(request))
    with capsys.disabled():
        print(f"\none token: {without * 1000:.1f} ms plain, {with_us * 1000:.1f} ms ours", end="")
    assert with_us < 3 * without + 0.1


async def test_the_time_from_a_cancel_to_an_idle_slot(capsys: pytest.CaptureFixture[str]) -> None:
    """As llama.cpp's server sees it."""
    try:
        with llama_server() as url:
            taken = await _cancelled(url)
    except NoLlamaServer as exc:
        pytest.skip(str(exc))
    with capsys.disabled():
        print(f"\ncancel to idle slot: {taken * 1000:.0f} ms", end="")
    assert taken < 5


async def _cancelled(url: str) -> float:
    settings = LLMSettings(_env_file=None, base_url=url, dialect="openai", api_key=KEY, model=LLAMA)  # type: ignore[arg-type]  # as from the environment
    question = ({"role": "user", "content": "The capital of Ghana is"},)
    taken = []
    async with OllamaClient.from_settings(settings, max_connections=2) as client:
        for _ in range(ROUNDS):
            stream = client.stream(settings.chat_request(question, max_tokens=800))
            async with aclosing(stream) as records:
                await anext(records)
                assert await asyncio.to_thread(busy_slots, url) == 1
                left = time.perf_counter()
            await eventually(lambda: busy_slots(url) == 0, what="the slot is idle")
            taken.append(time.perf_counter() - left)
    return median(taken)

"""A real OpenAI-compatible server: llama.cpp's own, asked by the same client as Ollama."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
from pydantic import SecretStr

from llm import (
    AccessDeniedError,
    ChatRequest,
    ContextOverflowError,
    Fleet,
    LLMError,
    LLMService,
    LLMSettings,
    OllamaClient,
)
from llm.context.limits import ContextLimits
from tests.support.servers.llama_server import (
    KEY,
    MODEL,
    SLOTS,
    WINDOW,
    NoLlamaServer,
    busy_slots,
    llama_server,
)
from tests.support.waiting import eventually

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

ASK = ({"role": "user", "content": "The capital of Ghana is"},)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Accra", "Kumasi"]}},
    "required": ["city"],
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One server for the module."""
    try:
        with llama_server() as started:
            yield started
    except NoLlamaServer as exc:
        pytest.skip(str(exc))


@pytest.fixture
def settings(url: str) -> LLMSettings:
    """What it needs."""
    key = SecretStr(KEY)
    return LLMSettings(
        _env_file=None, base_url=url, dialect="openai", api_key=key, model=MODEL, num_predict=24
    )


@pytest.fixture
async def client(settings: LLMSettings) -> AsyncIterator[OllamaClient]:
    """A client of it."""
    async with OllamaClient.from_settings(settings, max_connections=8) as made:
        yield made


async def test_a_reply_comes_in_pieces_with_its_counts(
    client: OllamaClient, settings: LLMSettings
) -> None:
    """As the server counts them: a reply of one token for each piece, and the prompt's tokens."""
    async with aclosing(client.stream(settings.chat_request(ASK))) as records:
        *deltas, final = [record async for record in records]
    assert len(deltas) > 5
    assert final.done_reason == "length"
    assert final.completion_tokens == 24
    assert 5 < final.prompt_tokens < 60
    assert final.eval_ms


async def test_a_window_that_is_full_is_told(client: OllamaClient) -> None:
    """With the counts, so that the budget of the next try is exact."""
    long = ({"role": "user", "content": "word " * (2 * WINDOW)},)
    with pytest.raises(ContextOverflowError) as caught:
        await client.chat(ChatRequest(model=MODEL, messages=long))
    assert caught.value.n_ctx == WINDOW
    assert caught.value.n_prompt_tokens is not None
    assert caught.value.n_prompt_tokens > 2 * WINDOW


async def test_the_window_is_known_before_the_first_call(settings: LLMSettings) -> None:
    """The server reports that of a slot."""
    async with Fleet.from_settings(settings, max_connections=1) as fleet:
        limits = ContextLimits(fleet.servers, settings)
        assert (await limits.budget(MODEL, None)).window_tokens == WINDOW


async def test_a_reader_that_leaves_frees_the_slot(client: OllamaClient, url: str) -> None:
    """The model stops, and the slot is there for the next."""
    stream = client.stream(ChatRequest(model=MODEL, messages=ASK, max_tokens=800))
    async with aclosing(stream) as records:
        await anext(records)
        assert await asyncio.to_thread(busy_slots, url) == 1
    await eventually(lambda: busy_slots(url) == 0, what="the slot is idle")


async def test_more_calls_than_slots_are_all_answered(
    client: OllamaClient, settings: LLMSettings
) -> None:
    """The server makes them wait."""
    request = settings.chat_request(ASK, max_tokens=4)
    replies = await asyncio.gather(*(client.chat(request) for _ in range(3 * SLOTS)))
    assert all(reply.final.completion_tokens == 4 for reply in replies)


async def test_a_schema_holds(client: OllamaClient) -> None:
    """Whatever the model would rather say."""
    reply = await client.chat(ChatRequest(model=MODEL, messages=ASK, format=SCHEMA, max_tokens=60))
    assert "Accra" in reply.text or "Kumasi" in reply.text


async def test_what_it_refuses_is_not_its_outage(client: OllamaClient) -> None:
    """An image for a model that sees none."""
    message = {"role": "user", "content": "Look", "images": ["iVBORw0KGgo="]}
    with pytest.raises(LLMError) as caught:
        await client.chat(ChatRequest(model=MODEL, messages=(message,)))
    assert not caught.value.is_outage


async def test_a_wrong_key_is_refused_for_good(url: str) -> None:
    """The error names where keys are given, not the key."""
    wrong = LLMSettings(
        _env_file=None, base_url=url, dialect="openai", api_key=SecretStr("wrong"), model=MODEL
    )
    async with OllamaClient.from_settings(wrong, max_connections=1) as client:
        with pytest.raises(AccessDeniedError) as caught:
            await client.chat(wrong.chat_request(ASK))
    assert "wrong" not in str(caught.value)


def test_the_service_of_threads_asks_it_too(settings: LLMSettings) -> None:
    """A reply, its health, its models."""
    with LLMService(settings) as service:
        assert service.health_check()
        assert MODEL in service.installed_models()
        assert service.chat("The capital of Ghana is")

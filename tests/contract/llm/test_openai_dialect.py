"""Servers that speak OpenAI's protocol, by the same client, fleet and service as Ollama."""

from contextlib import aclosing
from pathlib import Path

import pytest

from llm import (
    ContextOverflowError,
    Fleet,
    LLMError,
    LLMService,
    LLMSettings,
    ModelNotFoundError,
    OllamaClient,
    OllamaUnreachableError,
)
from llm.context.limits import ContextLimits
from llm.http.dialect import OPENAI
from llm.wire.records import Delta
from llm.wire.requests import ChatRequest
from sandbox.ollama import OllamaStandIn
from tests.support.waiting import eventually

ASK = ({"role": "user", "content": "Hello"},)
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
}


def settings_of(tmp_path: Path, *servers: str, **given: object) -> LLMSettings:
    """The settings for a file of these servers."""
    path = tmp_path / "servers.toml"
    path.write_text("\n".join(f"[[server]]\n{server}" for server in servers))
    return LLMSettings(_env_file=None, entries=str(path), model="m", **given)  # type: ignore[arg-type]  # read from the file


def speaks_openai(server: OllamaStandIn, more: str = "") -> str:
    """Its part of the file."""
    return f'url = "{server.url}/v1"\ndialect = "openai"\n{more}\n'


async def test_a_chat_is_asked_streamed_and_counted(ollama: OllamaStandIn, tmp_path: Path) -> None:
    """Nothing is loaded before it, and nothing of Ollama's own is asked."""
    settings = settings_of(tmp_path, speaks_openai(ollama))
    async with Fleet.from_settings(settings, max_connections=2) as fleet:
        async with aclosing(fleet.stream(settings.chat_request(ASK))) as records:
            deltas = [record async for record in records if isinstance(record, Delta)]
        reply = await fleet.chat(settings.chat_request(ASK))
    assert len(deltas) > 1
    assert reply.text == "".join(delta.text for delta in deltas)
    assert reply.final.done_reason == "stop"
    assert reply.final.prompt_tokens > 0
    assert reply.final.completion_tokens > 0
    assert reply.final.server == f"{ollama.url[7:]}/v1"
    assert {call.path for call in ollama.calls} <= {"/v1/chat/completions", "/v1/models"}


async def test_nothing_is_loaded_at_a_server_that_serves_what_it_has(
    ollama: OllamaStandIn, tmp_path: Path
) -> None:
    """A request that asks nothing is not sent: such a server would refuse it."""
    settings = settings_of(tmp_path, speaks_openai(ollama))
    async with Fleet.from_settings(settings, max_connections=1) as fleet:
        reply = await fleet.chat(ChatRequest(model="m"))
    assert (reply.text, reply.final.done_reason) == ("", "load")
    assert ollama.stats.requests == ollama.stats.load_requests == 0


async def test_tools_are_called(ollama: OllamaStandIn, tmp_path: Path) -> None:
    """The arguments come as text, and are an object for who runs the tool."""
    settings = settings_of(tmp_path, speaks_openai(ollama))
    request = ChatRequest(model="tools", messages=ASK, tools=(TOOL,))
    async with Fleet.from_settings(settings, max_connections=1) as fleet:
        reply = await fleet.chat(request)
    assert [call.name for call in reply.tool_calls] == ["look_up"]
    assert reply.tool_calls[0].arguments == {}
    assert reply.tool_calls[0].id


async def test_a_reader_that_leaves_stops_the_model(ollama: OllamaStandIn) -> None:
    """By closing the connection, as with Ollama."""
    async with OllamaClient(f"{ollama.url}/v1", dialect=OPENAI) as client:
        stream = client.stream(ChatRequest(model="slow-tokens", messages=ASK))
        async with aclosing(stream) as records:
            async for _ in records:
                break
    await eventually(lambda: ollama.stats.disconnects == 1, what="the model is stopped")


async def test_a_prompt_over_the_window_is_refused(ollama: OllamaStandIn) -> None:
    """So it can be shortened."""
    long = ({"role": "user", "content": "word " * 9000},)
    async with OllamaClient(f"{ollama.url}/v1", dialect=OPENAI) as client:
        with pytest.raises(ContextOverflowError):
            await client.chat(ChatRequest(model="window:ctx512", messages=long))


async def test_a_model_that_is_not_served_is_named(ollama: OllamaStandIn) -> None:
    """For good: no try more helps."""
    async with OllamaClient(f"{ollama.url}/v1", dialect=OPENAI) as client:
        with pytest.raises(ModelNotFoundError, match="nowhere"):
            await client.chat(ChatRequest(model="nowhere", messages=ASK))


async def test_the_window_is_that_of_the_file(ollama: OllamaStandIn, tmp_path: Path) -> None:
    """Where the server does not report it."""
    settings = settings_of(tmp_path, speaks_openai(ollama, "window = 1024"))
    async with Fleet.from_settings(settings, max_connections=1) as fleet:
        limits = ContextLimits(fleet.servers, settings)
        assert (await limits.budget("m", None)).window_tokens == 1024


async def test_a_call_moves_to_a_server_of_the_other_dialect(
    ollama: OllamaStandIn, tmp_path: Path
) -> None:
    """One is down: the other answers, whatever it speaks."""
    with OllamaStandIn() as gone:
        down = speaks_openai(gone)
    settings = settings_of(tmp_path, down, f'url = "{ollama.url}"')
    async with Fleet.from_settings(settings, max_connections=1) as fleet:
        reply = await fleet.chat(settings.chat_request(ASK))
    assert reply.final.server == ollama.url[7:]


def test_the_service_of_threads_speaks_it_too(ollama: OllamaStandIn, tmp_path: Path) -> None:
    """Replies, health, models."""
    with LLMService(settings_of(tmp_path, speaks_openai(ollama))) as service:
        assert service.chat("Hello")
        assert service.health_check()
        assert service.installed_models() == tuple(one.name for one in service.loaded_models())
    with OllamaStandIn() as gone:
        down = settings_of(tmp_path, speaks_openai(gone))
    with LLMService(down) as service:
        assert not service.health_check()
        with pytest.raises(OllamaUnreachableError):
            service.chat("Hello")


async def test_a_server_that_is_down_is_away(ollama: OllamaStandIn) -> None:
    """Its health, and the error of a call."""
    with OllamaStandIn() as gone:
        url = f"{gone.url}/v1"
    async with OllamaClient(url, dialect=OPENAI) as client:
        assert not await client.health_check()
        with pytest.raises(LLMError) as caught:
            await client.chat(ChatRequest(model="m", messages=ASK))
    assert caught.value.is_outage

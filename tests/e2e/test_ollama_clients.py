"""Clients that other people wrote take the stand-in for Ollama: the proof of its protocol."""

from collections.abc import AsyncIterator, Iterator

import httpx
import ollama
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from pydantic import BaseModel

from sandbox.ollama import OllamaStandIn, pieces, prompt_tokens, reply_to
from tests.support.waiting import eventually, wait_until

MESSAGES = [
    {"role": "system", "content": "You are a <helpful> assistant & brief."},
    {"role": "user", "content": "Is 1 < 2? ü 😀"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "And 2 < 1?"},
]


class Verdict(BaseModel):
    """What the structured replies hold."""

    text: str
    score: int


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


@pytest.fixture(scope="module")
def server() -> Iterator[OllamaStandIn]:
    """One stand-in for this module."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture
def stand_in(server: OllamaStandIn) -> OllamaStandIn:
    """The stand-in with nothing recorded and nothing programmed."""
    wait_until(lambda: server.stats.active == 0, what="earlier calls ended")
    server.reset()
    return server


@pytest.fixture
def client(stand_in: OllamaStandIn) -> Iterator[ollama.Client]:
    """The official client."""
    with ollama.Client(host=stand_in.url, trust_env=False) as client:
        yield client


@pytest.fixture
async def aclient(stand_in: OllamaStandIn) -> AsyncIterator[ollama.AsyncClient]:
    """The official asynchronous client."""
    client = ollama.AsyncClient(host=stand_in.url, trust_env=False)
    yield client
    await client.close()


def langchain(stand_in: OllamaStandIn, model: str = "ok", **fields: object) -> ChatOllama:
    """LangChain's chat model. It has no way to close its connections, so the server does."""
    options = {"trust_env": False, "headers": {"Connection": "close"}}
    return ChatOllama(model=model, base_url=stand_in.url, client_kwargs=options, **fields)


def test_ollama_chats(client: ollama.Client, stand_in: OllamaStandIn) -> None:
    """One object with text, reason and counts; what arrived is what was sent."""
    answer = client.chat("ok", MESSAGES, options={"temperature": 0.2, "num_ctx": 4096})
    assert answer.message.content == reply_to(MESSAGES)
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert answer.prompt_eval_count == prompt_tokens(MESSAGES)
    assert answer.eval_count == len(pieces(reply_to(MESSAGES)))
    (call,) = stand_in.calls
    assert call.messages == tuple(MESSAGES)
    assert call.options == {"temperature": 0.2, "num_ctx": 4096}


def test_ollama_streams(client: ollama.Client) -> None:
    """Word by word, then the final record."""
    parts = list(client.chat("ok", MESSAGES, stream=True))
    said = [part.message.content for part in parts[:-1]]
    assert said == pieces(reply_to(MESSAGES))
    assert [part.done for part in parts] == [False] * len(said) + [True]


async def test_async_ollama_chats_and_streams(aclient: ollama.AsyncClient) -> None:
    """The same on an event loop."""
    answer = await aclient.chat("ok", MESSAGES)
    assert answer.message.content == reply_to(MESSAGES)
    stream = await aclient.chat("slow-tokens:20x1ms", MESSAGES, stream=True)
    said = [part.message.content async for part in stream]
    assert len(said) == 21


def test_ollama_generates(client: ollama.Client) -> None:
    """/api/generate with a system prompt, whole and streamed."""
    seen = [{"role": "system", "content": "Brief."}, {"role": "user", "content": "Why?"}]
    assert client.generate("ok", "Why?", system="Brief.").response == reply_to(seen)
    parts = client.generate("ok", "Why?", system="Brief.", stream=True)
    assert "".join(part.response for part in parts) == reply_to(seen)


def test_ollama_looks_around(client: ollama.Client) -> None:
    """list, ps and show parse."""
    client.chat("qwen2.5:0.5b", [], keep_alive="10m")
    assert "qwen2.5:0.5b" in [model.model for model in client.list().models]
    loaded = {model.model: model for model in client.ps().models}
    assert loaded["qwen2.5:0.5b"].context_length == 32_768
    shown = client.show("think")
    assert shown.capabilities == ["completion", "tools", "thinking"]
    assert shown.details is not None
    assert shown.details.format == "gguf"


def test_ollama_thinks(client: ollama.Client) -> None:
    """Thinking and text are apart."""
    answer = client.chat("think", MESSAGES, think=True)
    assert answer.message.thinking
    assert answer.message.content == reply_to(MESSAGES)


@pytest.mark.parametrize("model", ["tools", "tools-early"])
def test_ollama_calls_tools(client: ollama.Client, model: str) -> None:
    """A Python function as the tool, a call of it back."""

    def add(a: int, b: int) -> int:
        """Add.

        Args:
          a: the first
          b: the second
        """
        return a + b

    for stream in (False, True):
        answer = client.chat(model, MESSAGES, tools=[add], stream=stream)
        parts = [answer] if isinstance(answer, ollama.ChatResponse) else list(answer)
        calls = [call for part in parts for call in part.message.tool_calls or []]
        assert [call.function.name for call in calls] == ["add"]
        (call,) = calls
        result = str(add(**call.function.arguments))
        told = [
            *MESSAGES,
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": result, "tool_name": "add"},
        ]
        reply = client.chat(model, told, tools=[add])
        assert not reply.message.tool_calls
        assert "I remember" in (reply.message.content or "")


def test_ollama_gets_structured_replies(client: ollama.Client) -> None:
    """A pydantic schema as format; the reply validates."""
    answer = client.chat("ok", MESSAGES, format=Verdict.model_json_schema())
    verdict = Verdict.model_validate_json(answer.message.content or "")
    assert verdict.text == reply_to(MESSAGES)


@pytest.mark.parametrize(
    ("model", "status", "text"),
    [
        ("missing", 404, "model 'missing' not found"),
        ("busy-503", 503, "server busy, please try again.  maximum pending requests exceeded"),
        ("no-tools", 400, "does not support tools"),
        ("embedder", 400, '"embedder" does not support chat'),
        ("error-line", -1, "an error was encountered while running the model: unexpected EOF"),
    ],
)
def test_ollama_understands_the_errors(
    client: ollama.Client, model: str, status: int, text: str
) -> None:
    """ResponseError with Ollama's text and status; -1 is the client's for an error line."""
    tools = [{"type": "function", "function": {"name": "x"}}] if model == "no-tools" else None
    with pytest.raises(ollama.ResponseError) as caught:
        list(client.chat(model, MESSAGES, stream=True, tools=tools))
    assert caught.value.status_code == status
    assert text in caught.value.error


@pytest.mark.parametrize("model", ["cut", "reset", "close"])
def test_ollama_meets_broken_connections(client: ollama.Client, model: str) -> None:
    """They leak through as transport errors."""
    with pytest.raises(httpx.TransportError):
        list(client.chat(model, MESSAGES, stream=True))


def test_ollama_takes_a_missing_end_for_success(client: ollama.Client) -> None:
    """The fault that this client does not notice, and ours must."""
    parts = list(client.chat("no-done:3", MESSAGES, stream=True))
    assert [part.done for part in parts] == [False] * 3


async def test_async_ollama_cancels_by_closing_the_stream(
    aclient: ollama.AsyncClient, stand_in: OllamaStandIn
) -> None:
    """The model stops within a token."""
    stream = await aclient.chat("slow-tokens:1000x5ms", MESSAGES, stream=True)
    await anext(stream)
    await stream.aclose()
    await eventually(lambda: stand_in.stats.active == 0, what="the end of the call")
    assert (stand_in.stats.disconnects, stand_in.stats.tokens_after_disconnect) == (1, 0)
    assert stand_in.stats.tokens < 1000


def test_langchain_invokes(stand_in: OllamaStandIn) -> None:
    """Roles arrive as Ollama's, usage comes back."""
    model = langchain(stand_in, validate_model_on_init=True, temperature=0.3)
    answer = model.invoke(
        [SystemMessage("Brief."), HumanMessage("a"), AIMessage("b"), HumanMessage("c")]
    )
    (call,) = stand_in.calls
    assert [message["role"] for message in call.messages] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert call.options["temperature"] == 0.3
    assert answer.content == reply_to(call.messages)
    assert answer.response_metadata["done_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == prompt_tokens(call.messages)


async def test_langchain_streams_asynchronously(stand_in: OllamaStandIn) -> None:
    """astream gives the words as they come."""
    chunks = [chunk.text async for chunk in langchain(stand_in).astream("Hello")]
    assert "".join(chunks) == reply_to([{"role": "user", "content": "Hello"}])
    assert len(chunks) > 3


@pytest.mark.parametrize("model", ["tools", "tools-early"])
def test_langchain_binds_tools(stand_in: OllamaStandIn, model: str) -> None:
    """A tool call by its name."""
    answer = langchain(stand_in, model).bind_tools([look_up]).invoke("look it up")
    assert [call["name"] for call in answer.tool_calls] == ["look_up"]


def test_langchain_sends_images(stand_in: OllamaStandIn) -> None:
    """The picture beside the text, without its data URI."""
    picture = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    langchain(stand_in, "vision").invoke(
        [HumanMessage([{"type": "text", "text": "What is it?"}, picture])]
    )
    (message,) = stand_in.calls[0].messages
    assert message["images"] == ["iVBORw0KGgo="]
    assert str(message["content"]).strip() == "What is it?"


def test_langchain_gets_structured_output(stand_in: OllamaStandIn) -> None:
    """Through Ollama's format."""
    model = langchain(stand_in).with_structured_output(Verdict, method="json_schema")
    assert isinstance(model.invoke("judge"), Verdict)


def test_langchain_reasons(stand_in: OllamaStandIn) -> None:
    """Thinking as reasoning_content."""
    answer = langchain(stand_in, "think", reasoning=True).invoke("think")
    assert answer.additional_kwargs["reasoning_content"]


@pytest.mark.parametrize(("model", "status"), [("busy-503", 503), ("missing", 404)])
def test_langchain_raises_ollamas_errors(stand_in: OllamaStandIn, model: str, status: int) -> None:
    """The official client's ResponseError."""
    with pytest.raises(ollama.ResponseError) as caught:
        langchain(stand_in, model).invoke("hello")
    assert caught.value.status_code == status


def test_langchain_succeeds_after_programmed_failures(stand_in: OllamaStandIn) -> None:
    """503 three times, then well."""
    stand_in.script("ok", ["busy-503"] * 3)
    model = langchain(stand_in).with_retry(
        retry_if_exception_type=(ollama.ResponseError,),
        wait_exponential_jitter=False,
        stop_after_attempt=4,
    )
    assert model.invoke("hello").content == reply_to([{"role": "user", "content": "hello"}])
    assert [call.status for call in stand_in.calls] == [503, 503, 503, 200]

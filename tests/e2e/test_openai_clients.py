"""OpenAI's own client takes the stand-in for Ollama's `/v1` (docs/ollama.md, OpenAI's routes)."""

import json
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from sandbox.ollama import OllamaStandIn, pieces, prompt_tokens, reply_to
from tests.support.waiting import wait_until

MESSAGES = [
    {"role": "system", "content": "You are a <helpful> assistant & brief."},
    {"role": "user", "content": "Is 1 < 2? ü 😀"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "And 2 < 1?"},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        },
    },
}
PIXEL = "iVBORw0KGgo="


class Verdict(BaseModel):
    """What the structured replies hold."""

    text: str
    score: int


@pytest.fixture(scope="module")
def server() -> Iterator[OllamaStandIn]:
    """One stand-in for this module."""
    with OllamaStandIn(profile="0.40") as server:
        yield server


@pytest.fixture
def stand_in(server: OllamaStandIn) -> OllamaStandIn:
    """The stand-in with nothing recorded and nothing programmed."""
    wait_until(lambda: server.stats.active == 0, what="earlier calls ended")
    server.reset()
    return server


@pytest.fixture
def client(stand_in: OllamaStandIn) -> Iterator[openai.OpenAI]:
    """The official client, without its own two retries."""
    with (
        httpx.Client(trust_env=False) as http,
        openai.OpenAI(
            base_url=f"{stand_in.url}/v1", api_key="ollama", max_retries=0, http_client=http
        ) as client,
    ):
        yield client


def streamed(client: openai.OpenAI, model: str, **more: object) -> list[ChatCompletionChunk]:
    """All chunks of one stream."""
    with client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, **more
    ) as stream:
        return list(stream)


def whole(client: openai.OpenAI, model: str, **more: object) -> ChatCompletion:
    """The reply in one object."""
    return client.chat.completions.create(model=model, messages=MESSAGES, **more)


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    """What the chunks say."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def reasons_of(chunks: list[ChatCompletionChunk]) -> list[str]:
    """The reasons that end a stream: one, if it ended well."""
    found = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    return [reason for reason in found if reason is not None]


def test_it_chats(client: openai.OpenAI, stand_in: OllamaStandIn) -> None:
    """Text, reason and counts of the same reply as on /api/chat; OpenAI's defaults go with it."""
    answer = whole(client, "ok", max_tokens=100, stop="#")
    assert answer.choices[0].message.content == reply_to(MESSAGES)
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.model, answer.system_fingerprint) == ("ok", "fp_ollama")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == prompt_tokens(MESSAGES)
    assert answer.usage.completion_tokens == len(pieces(reply_to(MESSAGES)))
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == prompt_tokens(MESSAGES[:-1])
    (call,) = stand_in.calls
    assert (call.path, call.messages) == ("/v1/chat/completions", tuple(MESSAGES))
    assert call.options == {"num_predict": 100, "stop": ["#"], "temperature": 1.0, "top_p": 1.0}


def test_it_streams(client: openai.OpenAI) -> None:
    """Word by word, then a finish chunk with an empty delta, and no usage unless asked."""
    chunks = streamed(client, "ok")
    assert [chunk.choices[0].delta.content for chunk in chunks] == [*pieces(reply_to(MESSAGES)), ""]
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("model", ["instant", "split-chars", "merged-lines", "blank-lines"])
def test_it_reads_a_stream_however_its_bytes_are_laid_out(
    client: openai.OpenAI, model: str
) -> None:
    """The framings of the scenarios hold on this face, too."""
    assert text_of(streamed(client, model)) == reply_to(MESSAGES)


def test_it_gets_the_usage_of_a_stream(client: openai.OpenAI) -> None:
    """include_usage: one more chunk, without choices."""
    chunks = streamed(client, "ok", stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == prompt_tokens(MESSAGES)
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


@pytest.mark.parametrize("model", ["tools", "tools-early"])
@pytest.mark.parametrize("stream", [False, True])
def test_it_calls_tools(
    client: openai.OpenAI, stand_in: OllamaStandIn, model: str, *, stream: bool
) -> None:
    """Arguments are a string, the reason says tool_calls, and the result finds its tool's name."""
    if stream:
        chunks = streamed(client, model, tools=[TOOL])
        assert reasons_of(chunks) == ["tool_calls"]
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        (called,) = [one for delta in deltas for one in delta.tool_calls or []]
    else:
        answer = whole(client, model, tools=[TOOL])
        assert answer.choices[0].finish_reason == "tool_calls"
        (called,) = answer.choices[0].message.tool_calls or []
    assert called.function is not None
    assert called.function.name == "add"
    assert json.loads(called.function.arguments or "") == {"a": 2, "b": 2}
    function = {"name": "add", "arguments": called.function.arguments}
    told = [
        *MESSAGES,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": called.id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": called.id, "content": "2"},
    ]
    reply = client.chat.completions.create(model=model, messages=told, tools=[TOOL])
    assert not reply.choices[0].message.tool_calls
    asked = stand_in.calls[-1].messages
    assert asked[-1] == {"role": "tool", "content": "2", "tool_name": "add"}
    assert asked[-2]["tool_calls"] == [{"function": {"name": "add", "arguments": {"a": 2, "b": 2}}}]


def test_it_gets_structured_replies(client: openai.OpenAI) -> None:
    """A pydantic model as the response format; the reply validates."""
    answer = client.chat.completions.parse(model="ok", messages=MESSAGES, response_format=Verdict)
    assert answer.choices[0].message.parsed == Verdict(text=reply_to(MESSAGES), score=1)
    plain = whole(client, "ok", response_format={"type": "json_object"})
    assert json.loads(plain.choices[0].message.content or "") == {"reply": reply_to(MESSAGES)}


def test_it_gets_the_thinking_as_reasoning(client: openai.OpenAI) -> None:
    """In a stream and whole; with effort `none` there is none."""
    answer = whole(client, "think", reasoning_effort="high")
    assert (answer.choices[0].message.model_extra or {})["reasoning"]
    assert answer.choices[0].message.content == reply_to(MESSAGES)
    first = streamed(client, "think")[0].choices[0].delta
    assert (first.content, bool((first.model_extra or {})["reasoning"])) == ("", True)
    silent = streamed(client, "think", reasoning_effort="none")[0].choices[0].delta
    assert silent.content


def test_it_sends_images_as_data(client: openai.OpenAI, stand_in: OllamaStandIn) -> None:
    """Each part of a message becomes one; an address is refused."""
    text, image = {"type": "text", "text": "What is it?"}, "data:image/png;base64,"
    for url in (image + PIXEL, "http://127.0.0.1/picture.png"):
        parts = [text, {"type": "image_url", "image_url": {"url": url}}]
        messages = [{"role": "user", "content": parts}]
        if url.startswith(image):
            client.chat.completions.create(model="vision", messages=messages)
        else:
            with pytest.raises(openai.BadRequestError, match="invalid image input"):
                client.chat.completions.create(model="vision", messages=messages)
    assert stand_in.calls[0].messages == (
        {"role": "user", "content": "What is it?"},
        {"role": "user", "images": [PIXEL]},
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "error", "refusal"),
    [
        ("missing", openai.NotFoundError, ("not_found_error", "model 'missing' not found")),
        ("bad-400", openai.BadRequestError, ("invalid_request_error", "json: cannot unmarshal")),
        ("overflow-400", openai.BadRequestError, ("invalid_request_error", "exceed_context_size")),
        ("no-tools", openai.BadRequestError, ("invalid_request_error", "does not support tools")),
        ("unsigned-401", openai.AuthenticationError, ("api_error", "unauthorized")),
        ("quota-429", openai.RateLimitError, ("api_error", "weekly usage limit")),
        ("load-500", openai.InternalServerError, ("api_error", "out-of-memory")),
        ("busy-503", openai.InternalServerError, ("api_error", "maximum pending requests")),
    ],
)
def test_it_understands_the_errors(
    client: openai.OpenAI,
    stand_in: OllamaStandIn,
    model: str,
    error: type[openai.APIStatusError],
    refusal: tuple[str, str],
    *,
    stream: bool,
) -> None:
    """The client's class by the status, the type by Ollama, the text word for word; one call."""
    kind, text = refusal
    more = {"tools": [TOOL]} if model == "no-tools" else {}
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=model, messages=MESSAGES, stream=stream, **more)
    body = caught.value.body
    assert isinstance(body, dict)
    assert text in body["message"]
    assert (body["type"], body["param"], body["code"]) == (kind, None, None)
    assert [call.outcome for call in stand_in.calls] == ["refused"]


def test_it_cannot_only_load_a_model(client: openai.OpenAI, stand_in: OllamaStandIn) -> None:
    """No messages are an error on this face."""
    with pytest.raises(openai.BadRequestError, match="too short - 'messages'"):
        client.chat.completions.create(model="ok", messages=[])
    assert stand_in.stats.loads == 0


def test_it_cannot_see_an_error_in_mid_stream(client: openai.OpenAI) -> None:
    """Why the worker speaks /api/chat: the error becomes an empty delta, the stream ends tidily."""
    chunks = streamed(client, "error-line")
    assert reasons_of(chunks) == []
    assert (chunks[-1].model, chunks[-1].choices[0].delta.content) == ("", "")
    assert text_of(chunks) == "".join(pieces(reply_to(MESSAGES))[:3])


def test_it_takes_a_missing_end_for_success(client: openai.OpenAI) -> None:
    """Likewise: no reason, and no complaint; whole, the reason is null."""
    assert reasons_of(streamed(client, "no-done")) == []
    assert whole(client, "no-done").choices[0].finish_reason is None


@pytest.mark.parametrize(
    ("model", "is_ended"), [("ok", True), ("no-done", False), ("error-line", False)]
)
def test_only_a_good_end_is_marked(stand_in: OllamaStandIn, model: str, *, is_ended: bool) -> None:
    """[DONE] is on the wire after a final record alone."""
    body = {"model": model, "messages": MESSAGES, "stream": True}
    answer = httpx.post(f"{stand_in.url}/v1/chat/completions", json=body, trust_env=False)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.content.endswith(b"data: [DONE]\n\n") == is_ended
    assert answer.content.count(b"[DONE]") == is_ended


@pytest.mark.parametrize("model", ["cut", "reset", "close"])
@pytest.mark.parametrize("stream", [False, True])
def test_it_meets_broken_connections(client: openai.OpenAI, model: str, *, stream: bool) -> None:
    """As transport errors, its own or httpx'."""
    call = streamed if stream else whole
    with pytest.raises((openai.APIConnectionError, httpx.TransportError)):
        call(client, model)


def test_its_retries_end_at_success(client: openai.OpenAI, stand_in: OllamaStandIn) -> None:
    """503 twice, then well: programmed failures hold on this face."""
    stand_in.script("ok", ["busy-503"] * 2)
    answer = whole(client.with_options(max_retries=2), "ok")
    assert answer.choices[0].message.content == reply_to(MESSAGES)
    assert [call.status for call in stand_in.calls] == [503, 503, 200]


def test_closing_a_stream_stops_the_model(client: openai.OpenAI, stand_in: OllamaStandIn) -> None:
    """No token is produced for nobody."""
    stream = client.chat.completions.create(
        model="slow-tokens:1000x5ms", messages=MESSAGES, stream=True
    )
    next(stream)
    stream.close()
    wait_until(lambda: stand_in.stats.active == 0, what="the end of the call")
    assert (stand_in.stats.disconnects, stand_in.stats.tokens_after_disconnect) == (1, 0)


def test_it_lists_models(client: openai.OpenAI) -> None:
    """All, one, and one that is not there."""
    assert {"qwen2.5:0.5b", "ok:latest"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("qwen2.5:0.5b").owned_by == "library"
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.models.retrieve("missing")


async def test_the_asynchronous_client_streams(stand_in: OllamaStandIn) -> None:
    """The same on an event loop."""
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        openai.AsyncOpenAI(
            base_url=f"{stand_in.url}/v1", api_key="ollama", http_client=http
        ) as client,
    ):
        stream = await client.chat.completions.create(model="ok", messages=MESSAGES, stream=True)
        assert text_of([chunk async for chunk in stream]) == reply_to(MESSAGES)

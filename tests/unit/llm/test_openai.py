"""OpenAI's dialect: requests written anew, replies and lists of models read."""

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.errors import (
    AccessDeniedError,
    ContextOverflowError,
    InvalidReplyError,
    LLMError,
    ModelNotFoundError,
    OllamaBusyError,
    ResponseTooLargeError,
    StreamCutError,
)
from llm.openai.models import read_served
from llm.openai.reply import OpenAIReply
from llm.openai.requests import chat_body
from llm.wire.error_map import refused
from llm.wire.models import Loaded
from llm.wire.records import Delta, Final, ToolCall, joined
from llm.wire.requests import ChatRequest

URL = "http://127.0.0.1:8000"
ASK = ({"role": "user", "content": "Hello"},)

# As llama.cpp b10488 sends them; the ids are shortened.
STREAM = (
    '{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}]}',
    '{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Good"}}],"model":"gemma.gguf"}',
    '{"choices":[{"finish_reason":null,"index":0,"delta":{"reasoning_content":"so"}}]}',
    '{"choices":[{"finish_reason":null,"index":0,"delta":{"content":" day"}}]}',
    '{"choices":[{"finish_reason":"length","index":0,"delta":{}}]}',
    '{"choices":[],"usage":{"completion_tokens":3,"prompt_tokens":26,"total_tokens":29},'
    '"timings":{"cache_n":1,"prompt_n":25,"prompt_ms":663.135,"predicted_ms":178.726}}',
)


def sent(request: ChatRequest) -> dict[str, object]:
    """The body as the server reads it."""
    body: dict[str, object] = orjson.loads(chat_body(request))
    return body


def events(*data: str, end: str = "\n\n") -> bytes:
    """The bytes of a stream of events."""
    return "".join(f"data: {one}{end}" for one in data).encode()


def read(*chunks: bytes, max_bytes: int = 100_000) -> list[Delta | Final]:
    """What a reader makes of a stream that comes in these chunks."""
    reader = OpenAIReply(ChatRequest(model="m", messages=ASK), URL, max_bytes)
    records: list[Delta | Final] = []
    for chunk in chunks:
        records += reader.feed(chunk)
    return [*records, *reader.finish(), reader.final()]


def test_a_request_is_written_with_openais_names() -> None:
    """Options of loading stay out: the server has loaded its model."""
    request = ChatRequest(
        model="m",
        messages=ASK,
        temperature=0.5,
        max_tokens=7,
        options={"num_ctx": 4096, "top_p": 0.9, "seed": 1, "stop": ["x"], "num_gpu": 1},
        keep_alive="5m",
    )
    assert sent(request) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 7,
        "top_p": 0.9,
        "seed": 1,
        "stop": ["x"],
    }


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("given_format", "written"),
    [
        ("json", {"type": "json_object"}),
        (
            SCHEMA,
            {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True},
            },
        ),
    ],
)
def test_a_format_is_a_response_format(given_format: object, written: object) -> None:
    """JSON of any shape, or of a schema's."""
    request = ChatRequest(model="m", messages=ASK, format=given_format)  # type: ignore[arg-type]  # both kinds
    assert sent(request)["response_format"] == written


@pytest.mark.parametrize(
    ("think", "written"),
    [
        (True, {"chat_template_kwargs": {"enable_thinking": True}}),
        (False, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("low", {"reasoning_effort": "low"}),
    ],
)
def test_thinking_is_for_the_template_or_an_effort(
    think: bool | str, written: dict[str, object]
) -> None:
    """What is not said is not sent."""
    assert written.items() <= sent(ChatRequest(model="m", messages=ASK, think=think)).items()
    assert (
        not {"chat_template_kwargs", "reasoning_effort"}
        & sent(ChatRequest(model="m", messages=ASK)).keys()
    )


def test_calls_of_tools_and_their_answers_are_joined_by_ids() -> None:
    """Ollama's messages may have none: by the tool's name then, and by the order."""
    call = {"function": {"name": "price", "arguments": {"of": "rice"}}}
    named = {"id": "c9", "function": {"name": "sum", "arguments": '{"a": 1}'}}
    messages = (
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "", "tool_calls": [call, named, call]},
        {"role": "tool", "content": "2", "tool_name": "sum", "tool_call_id": "c9"},
        {"role": "tool", "content": "7", "tool_name": "price"},
        orjson.dumps({"role": "tool", "content": "8", "tool_name": "price"}),
    )
    _, asked, *answers = sent(ChatRequest(model="m", messages=messages))["messages"]  # type: ignore[misc]  # a list
    assert [one["id"] for one in asked["tool_calls"]] == ["call_1_0", "c9", "call_1_2"]
    assert [one["function"]["arguments"] for one in asked["tool_calls"]] == [
        '{"of":"rice"}',
        '{"a": 1}',
        '{"of":"rice"}',
    ]
    assert [one["tool_call_id"] for one in answers] == ["c9", "call_1_0", "call_1_2"]


def test_images_are_parts_of_the_content() -> None:
    """As addresses that hold their data; the kind is read from the first bytes."""
    message = {"role": "user", "content": "Look", "images": ["iVBORw0", "/9j/4AA"]}
    (written,) = sent(ChatRequest(model="m", messages=(message,)))["messages"]  # type: ignore[misc]  # a list
    assert written["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0"}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AA"}},
    ]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_a_stream_is_read_however_it_is_split(sizes: Sequence[int]) -> None:
    """Text, thinking, reason, counts."""
    whole = b": keep-alive\r\n\r\n" + events(*STREAM, "[DONE]") + b"data: not read\n"
    chunks, at = [], 0
    for size in sizes:
        chunks.append(whole[at : at + size])
        at += size
    reply = joined(read(*chunks, whole[at:]))
    assert (reply.text, reply.thinking) == ("Good day", "so")
    final = reply.final
    assert (final.model, final.done_reason, final.server) == ("gemma.gguf", "length", URL[7:])
    assert (final.prompt_tokens, final.completion_tokens) == (26, 3)
    assert (final.prompt_eval_ms, final.eval_ms) == (663.135, 178.726)


def test_a_call_that_comes_in_pieces_is_given_whole() -> None:
    """As vLLM and OpenAI send them; what is no JSON is marked."""
    pieces = (
        '{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"price",'
        '"arguments":"{\\"of\\":"}}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"c2","function":{"name":"sum",'
        '"arguments":"{1"}},{"index":0,"function":{"arguments":"\\"rice\\"}"}}]}}]}',
        '{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}',
    )
    reply = joined(read(events(*pieces)))
    assert reply.tool_calls == (
        ToolCall("price", {"of": "rice"}, "c1"),
        ToolCall("sum", {}, "c2", is_readable=False),
    )
    assert reply.final.done_reason == "stop"


@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n"])
def test_a_stream_without_a_reason_is_cut(end: bytes) -> None:
    """Whether it says to be done or not."""
    with pytest.raises(StreamCutError):
        read(events(*STREAM[:4]), end)


def test_a_stream_without_done_is_whole_with_its_reason() -> None:
    """Some servers leave it out."""
    assert joined(read(events(*STREAM[:5], end="\r\n\r\n"))).text == "Good day"


@pytest.mark.parametrize(
    "line",
    [
        '{"error":{"message":"the engine died","code":500}}',
        '{"error":"the engine died"}',
        '{"object":"error","message":"the engine died","code":500}',
    ],
)
def test_an_error_in_the_stream_is_raised(line: str) -> None:
    """After a part of the reply."""
    with pytest.raises(LLMError, match="failed in mid-reply"):
        read(events(*STREAM[:2], line))


@pytest.mark.parametrize("line", ["{", "7", "[]"])
def test_what_is_no_object_is_no_reply(line: str) -> None:
    """Something else listens there."""
    with pytest.raises(InvalidReplyError):
        read(events(line))


def test_a_reply_is_bounded() -> None:
    """In bytes, as every other."""
    with pytest.raises(ResponseTooLargeError):
        read(events(*STREAM), max_bytes=100)


@pytest.mark.parametrize(
    ("entry", "window"),
    [
        ({"id": "m", "max_model_len": 2048}, 2048),
        ({"id": "m", "meta": {"n_ctx": 1024, "n_ctx_train": 32768}}, 1024),
        ({"id": "m", "meta": None, "max_context_length": 512}, 512),
        ({"id": "m"}, 0),
    ],
    ids=["vLLM", "llama.cpp", "LM Studio", "OpenAI"],
)
def test_the_models_of_a_server_have_their_windows(entry: dict[str, object], window: int) -> None:
    """Where the server reports them."""
    body = orjson.dumps({"object": "list", "data": [{**entry, "aliases": ["other"]}]})
    assert read_served(body, base_url=URL) == (Loaded("m", window), Loaded("other", window))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data":[7]}', b'{"data":[{}]}'])
def test_what_is_no_list_of_models_is_refused(body: bytes) -> None:
    """With a word on what to look at."""
    with pytest.raises(InvalidReplyError, match="/v1/models"):
        read_served(body, base_url=URL)


REFUSALS = (
    (
        400,
        '{"object":"error","message":"This model\'s maximum context length is 1024 tokens. '
        'However, you requested 3024 tokens (2000 in the messages, 1024 in the completion)."}',
        ContextOverflowError,
        "2000 tokens, window 1024",
    ),
    (
        400,
        '{"error":{"message":"This model\'s maximum context length is 1024 tokens. However, your '
        'request has 3024 input tokens.","type":"BadRequestError","code":400}}',
        ContextOverflowError,
        "3024 tokens, window 1024",
    ),
    (
        400,
        '{"object":"error","message":"The input (3024 tokens) is longer than the model\'s context '
        'length (1024 tokens)."}',
        ContextOverflowError,
        "3024 tokens, window 1024",
    ),
    (
        400,
        '{"error":"Trying to keep the first 3024 tokens when context the overflows. However, the '
        'model is loaded with context length of only 1024 tokens."}',
        ContextOverflowError,
        "3024 tokens, window 1024",
    ),
    (
        404,
        '{"object":"error","message":"The model `other` does not exist.","type":"NotFoundError"}',
        ModelNotFoundError,
        "does not serve a model 'm'",
    ),
    (401, '{"error":"Unauthorized"}', AccessDeniedError, "the server at"),
    (503, '{"error":{"message":"Loading model"}}', OllamaBusyError, "the server at"),
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    REFUSALS,
    ids=[f"{one[0]}-{at}" for at, one in enumerate(REFUSALS)],
)
def test_a_refusal_of_an_engine_is_an_error_of_its_kind(
    status: int, body: str, kind: type[LLMError], said: str
) -> None:
    """As vLLM, SGLang, LM Studio and llama.cpp word them; no advice about Ollama is given."""
    error = refused(status, body.encode(), model="m", base_url=f"{URL}/v1")
    assert type(error) is kind
    assert said in str(error)
    assert "ollama pull" not in str(error)

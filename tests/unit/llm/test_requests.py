"""A chat request: what is refused before sending, and what is sent."""

from types import MappingProxyType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm import ChatRequest, InvalidRequestError, check_model_name

USER = {"role": "user", "content": "hello"}


def body(request: ChatRequest) -> dict[str, object]:
    sent = orjson.loads(request.body())
    assert isinstance(sent, dict)
    return sent


def test_a_plain_request_sends_no_more_than_it_must() -> None:
    """Always streamed, and never truncated silently; `shift` would load a shared model anew."""
    assert body(ChatRequest(model="m", messages=(USER,))) == {
        "model": "m",
        "messages": [USER],
        "stream": True,
        "truncate": False,
    }


def test_every_argument_finds_its_place_in_the_body() -> None:
    """Temperature and max_tokens are options of Ollama, under its names."""
    sent = body(
        ChatRequest(
            model="m",
            messages=(USER,),
            temperature=0.2,
            max_tokens=7,
            options={"num_ctx": 4096, "stop": ["x"]},
            keep_alive="30m",
            format={"type": "object"},
            think="low",
            tools=({"type": "function"},),
            shift=True,
        )
    )
    assert sent["options"] == {
        "num_ctx": 4096,
        "stop": ["x"],
        "temperature": 0.2,
        "num_predict": 7,
    }
    assert (sent["keep_alive"], sent["think"], sent["shift"]) == ("30m", "low", True)
    assert (sent["format"], sent["tools"]) == ({"type": "object"}, [{"type": "function"}])


def test_zero_and_false_are_sent() -> None:
    """Only None means "not given"."""
    sent = body(ChatRequest(model="m", messages=(USER,), temperature=0, think=False, keep_alive=0))
    assert sent["options"] == {"temperature": 0}
    assert (sent["think"], sent["keep_alive"]) == (False, 0)


def test_messages_stored_as_json_are_spliced_in() -> None:
    """The stored history is sent without being decoded."""
    stored = orjson.dumps({"role": "assistant", "content": 'quoted "text"'})
    sent = body(ChatRequest(model="m", messages=(stored, USER)))
    assert sent["messages"] == [orjson.loads(stored), USER]


def test_any_mapping_is_a_message() -> None:
    """Not only dict itself."""
    assert body(ChatRequest(model="m", messages=(MappingProxyType(USER),)))["messages"] == [USER]


@given(st.text(max_size=200))
def test_any_text_without_lone_surrogates_arrives_as_it_was(text: str) -> None:
    """NUL, line ends of every kind and all planes included."""
    sent = body(ChatRequest(model="m", messages=({"role": "user", "content": text},)))
    assert sent["messages"] == [{"role": "user", "content": text}]


@pytest.mark.parametrize("content", ["CANARY\ud800", {"CANARY"}, b"CANARY"])
def test_what_json_cannot_hold_is_an_invalid_request_that_quotes_nothing(content: object) -> None:
    """The prompt is not repeated in the message."""
    request = ChatRequest(model="m", messages=({"role": "user", "content": content},))
    with pytest.raises(InvalidRequestError) as caught:
        request.body()
    assert "CANARY" not in str(caught.value)
    assert "CANARY" not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "name",
    ["qwen2.5:0.5b", "a", "hf.co/Bartowski/Llama-3.2:Q4_K_M", "0", "m" * 128, "gpt-oss:20b-cloud"],
)
def test_a_model_name_is_accepted_as_ollama_writes_it(name: str) -> None:
    """Registry, namespace, name and tag, in either case."""
    assert check_model_name(name) == name
    assert ChatRequest(model=name).model == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "m" * 129,
        "http://evil:80/m",
        "evil//m",
        "/etc/passwd",
        "../m",
        "m m",
        "m\n",
        "m?x=1",
        "m#x",
        "m@host",
        "mödel",
        None,
        7,
    ],
)
def test_what_is_no_model_name_never_leaves_the_process(name: object) -> None:
    """Least of all an address."""
    with pytest.raises(InvalidRequestError, match="is not a model"):
        ChatRequest(model=name)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf"), "0.5", True])
def test_a_temperature_is_a_number_of_zero_or_more(temperature: object) -> None:
    """NaN would be sent as null, and a string makes Ollama answer 500."""
    with pytest.raises(InvalidRequestError, match="temperature"):
        ChatRequest(model="m", temperature=temperature)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("max_tokens", [0, -1, 1.5, "7", True])
def test_max_tokens_is_a_whole_number_of_one_or_more(max_tokens: object) -> None:
    """-1 would mean "for ever" to Ollama."""
    with pytest.raises(InvalidRequestError, match="max_tokens"):
        ChatRequest(model="m", max_tokens=max_tokens)  # type: ignore[arg-type]  # wrong on purpose


def test_an_invalid_request_is_a_value_error_too() -> None:
    """So that pydantic reports it as a wrong setting."""
    assert issubclass(InvalidRequestError, ValueError)

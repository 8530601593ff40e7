"""What a request may ask for besides: honoured, or refused by name."""

from typing import Any

import openai
import pytest

from memory import Priority
from sandbox.ollama import OllamaStandIn
from tests.e2e.gateway.conftest import AGENT

SAID: Any = [{"role": "user", "content": "Hello"}]
SAMPLING: dict[str, Any] = {
    "seed": 7, "stop": ["END"], "presence_penalty": 0.5, "frequency_penalty": -0.5
}  # fmt: skip


def options_of(ollama: OllamaStandIn) -> dict[str, object]:
    """The options of the last call of a model, without that of its window."""
    return {name: one for name, one in ollama.calls[-1].options.items() if name != "num_ctx"}


def test_chat_completions_choose_their_words_as_asked(
    client: openai.OpenAI, ollama: OllamaStandIn
) -> None:
    """The model's server is told, under its own names."""
    client.chat.completions.create(
        model=AGENT, messages=SAID, temperature=0.1, top_p=0.5, max_completion_tokens=50, **SAMPLING
    )
    expected = {"temperature": 0.1, "top_p": 0.5, "num_predict": 50, **SAMPLING}
    assert options_of(ollama) == expected
    client.chat.completions.create(model=AGENT, messages=SAID, max_tokens=9, stop="END")
    assert options_of(ollama)["num_predict"] == 9
    assert options_of(ollama)["stop"] == ["END"]


def test_so_do_responses(client: openai.OpenAI, ollama: OllamaStandIn) -> None:
    """What OpenAI has no field for stands under `griot`; the response says what holds."""
    made = client.responses.create(
        model=AGENT, input="Hello", top_p=0.5, extra_body={"griot": SAMPLING}
    )
    expected = {"top_p": 0.5, **SAMPLING}
    assert {name: options_of(ollama).get(name) for name in expected} == expected
    assert (made.top_p, made.truncation, made.service_tier) == (0.5, "auto", "default")


OF_CHAT: dict[str, dict[str, Any]] = {
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "logit_bias": {"logit_bias": {"1": 1}},
    "store": {"store": True},
    "service_tier": {"service_tier": "priority"},
    "modalities": {"modalities": ["text", "audio"]},
    "top_p": {"top_p": 0},
    "seed": {"seed": 2**40},
    "stop": {"stop": ["1", "2", "3", "4", "5"]},
    "tool_choice": {"tool_choice": "required"},
    "verbosity": {"verbosity": "high"},
}
OF_RESPONSES: dict[str, dict[str, Any]] = {
    "truncation": {"truncation": "disabled"},
    "include": {"include": ["message.output_text.logprobs"]},
    "reasoning": {"reasoning": {"summary": "detailed"}},
    "max_tool_calls": {"max_tool_calls": 1},
    "text.verbosity": {"text": {"verbosity": "low"}},
    "stream_options": {"stream": True, "stream_options": {"include_obfuscation": True}},
    "prompt": {"prompt": {"id": "pmpt_1"}},
    "service_tier": {"service_tier": "flex"},
}


@pytest.mark.parametrize(("name", "asked"), OF_CHAT.items(), ids=OF_CHAT.keys())
def test_what_no_completion_does_is_refused(
    client: openai.OpenAI, name: str, asked: dict[str, Any]
) -> None:
    """With 400 that names it, and nothing is sent."""
    with pytest.raises(openai.BadRequestError, match=name):
        client.chat.completions.create(model=AGENT, messages=SAID, **asked)


@pytest.mark.parametrize(("name", "asked"), OF_RESPONSES.items(), ids=OF_RESPONSES.keys())
def test_what_no_response_does_is_refused(
    client: openai.OpenAI, name: str, asked: dict[str, Any]
) -> None:
    """The same of responses."""
    with pytest.raises(openai.BadRequestError, match=name):
        client.responses.create(model=AGENT, input="Hello", **asked)


@pytest.mark.parametrize("priority", Priority)
def test_a_request_says_how_urgent_it_is(client: openai.OpenAI, priority: Priority) -> None:
    """Under `griot`, in both ways to ask; what is no priority is refused by name."""
    said: dict[str, Any] = {"griot": {"priority": str(priority)}}
    done = client.responses.create(model=AGENT, input="Hello", extra_body=said)
    assert done.status == "completed"
    whole = client.chat.completions.create(model=AGENT, messages=SAID, extra_body=said)
    assert whole.choices[0].finish_reason == "stop"
    with pytest.raises(openai.BadRequestError, match=r"griot\.priority"):
        client.responses.create(
            model=AGENT, input="Hello", extra_body={"griot": {"priority": "urgent"}}
        )


def test_what_clients_send_by_default_is_taken(client: openai.OpenAI) -> None:
    """It asks for what is so anyway."""
    done = client.responses.create(
        model=AGENT, input="Hello", truncation="auto", service_tier="auto", reasoning={},
        include=["reasoning.encrypted_content"], parallel_tool_calls=True, prompt_cache_key="k",
    )  # fmt: skip
    assert done.status == "completed"
    whole = client.chat.completions.create(
        model=AGENT, messages=SAID, n=1, logprobs=False, store=False, modalities=["text"]
    )
    assert whole.choices[0].finish_reason == "stop"


def test_a_failure_names_no_server(client: openai.OpenAI, ollama: OllamaStandIn) -> None:
    """In a response, its stream, a completion and its chunks."""
    address = ollama.url.partition("//")[2]
    failed = client.responses.create(model="no-tools", input="Hello", tools=[
        {"type": "function", "name": "f", "parameters": None, "strict": None},
    ])  # fmt: skip
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == (
        "invalid_prompt", "The model cannot call tools."
    )  # fmt: skip
    with client.responses.create(model="bad-call", input="Hello", stream=True) as stream:
        told = [event.to_json() for event in stream]
    assert '"response.failed"' in told[-1]
    with pytest.raises(openai.APIError) as whole:
        client.chat.completions.create(model="bad-call", messages=SAID)
    with pytest.raises(openai.APIError) as chunks:
        list(client.chat.completions.create(model="bad-call", messages=SAID, stream=True))
    done = client.responses.create(model=AGENT, input="Hello")
    everything = [*told, str(whole.value), str(chunks.value), done.to_json()]
    assert not [one for one in everything if address in one or "127.0.0.1" in one]

"""A real Ollama takes every prompt that we make of an odd history, and every format we send."""

from dataclasses import replace

import httpx
import orjson
import pytest

from agents import Ask, Profile, PromptForm, prompt_for
from llm import ChatRequest, LLMSettings
from memory import decode_messages
from tests.support.odd.histories import ODD_HISTORIES, stored
from tests.support.odd.schemas import ODD_PATTERNS, ODD_SCHEMAS

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

SETTINGS = LLMSettings()
PROFILE = Profile("energy", "Answer briefly.", None, 0.0, 2, max_history=100)
TEXT_ONLY = PromptForm(takes_images=False, takes_tools=False)
FORMS = {
    "strict": TEXT_ONLY,
    "gemma": TEXT_ONLY,
    "tools": PromptForm(takes_images=False),
}
"""What form_for makes of these models' abilities."""


@pytest.mark.parametrize("case", ODD_HISTORIES)
@pytest.mark.parametrize("model", FORMS)
def test_every_odd_history_is_answered(real: httpx.Client, model: str, case: str) -> None:
    """By a strict Jinja template, by Ollama's own rendering, and by a model with tools."""
    past = decode_messages(stored(case)).messages
    asked = Ask(message="And now?", model=model)
    prompt = prompt_for(
        asked, PROFILE, past, SETTINGS, form=FORMS[model], begins_session=True
    ).request
    answer = real.post("/api/chat", content=prompt.body())
    assert answer.status_code == 200, answer.text


def in_form(model: str, wanted: dict[str, object]) -> ChatRequest:
    """A request for a few tokens in that form."""
    question = ({"role": "user", "content": "Say something."},)
    return ChatRequest(model=model, messages=question, format=wanted, max_tokens=3)


FORMATS: dict[str, dict[str, object]] = {
    **ODD_SCHEMAS,
    **{f"the pattern {one}": {"type": "string", "pattern": one} for one in ODD_PATTERNS},
}


@pytest.mark.parametrize("case", FORMATS)
def test_every_format_is_taken(real: httpx.Client, case: str) -> None:
    """Where the schema itself is refused, what is sent of it is not."""
    answer = real.post("/api/chat", content=in_form("strict", FORMATS[case]).body())
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("case", ODD_SCHEMAS)
def test_the_odd_schemas_are_refused_as_they_are(real: httpx.Client, case: str) -> None:
    """Or the table is out of date."""
    if case in ("a reference at the root", "many repetitions"):
        pytest.skip("it depends on the build of llama.cpp")
    body = orjson.loads(in_form("strict", {}).body()) | {"format": ODD_SCHEMAS[case]}
    assert real.post("/api/chat", json=body).status_code == 400


@pytest.mark.parametrize(("model", "status"), [("strict", 400), ("gemma", 200)])
def test_what_the_strict_template_refuses_the_lax_one_takes(
    real: httpx.Client, model: str, status: int
) -> None:
    """Two questions in a row as they are: or these models are not what they should be."""
    twice = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]
    options = {"num_predict": 1}
    body = {"model": model, "messages": twice, "stream": False, "options": options}
    assert real.post("/api/chat", json=body).status_code == status


def said(real: httpx.Client, request: ChatRequest) -> str:
    """The text of a streamed reply."""
    lines = real.post("/api/chat", content=request.body()).text.splitlines()
    return "".join(orjson.loads(line)["message"]["content"] for line in lines)


def test_a_thinking_model_is_held_to_a_format(real: httpx.Client) -> None:
    """It is told not to think: behind thoughts that never end the format is never applied."""
    wanted = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}
    request = replace(in_form("thinking", wanted), max_tokens=30)
    assert orjson.loads(said(real, request)) == {"a": 1}


@pytest.mark.parametrize(("model", "order"), [("strict", ["a", "b"]), ("gemma", ["b", "a"])])
def test_the_order_of_a_schemas_keys_is_the_servers(
    real: httpx.Client, model: str, order: list[str]
) -> None:
    """docs/agents.md tells of it: alphabetical without a Go template, else the schema's."""
    keys = {"b": {"const": 1}, "a": {"const": 2}}
    wanted = {"type": "object", "properties": keys, "required": ["b", "a"]}
    request = replace(in_form(model, wanted), max_tokens=300)  # spaces are tokens, too
    assert list(orjson.loads(said(real, request))) == order


@pytest.mark.parametrize("wanted", ["json", {}], ids=str)
@pytest.mark.parametrize("model", ["strict", "gemma"])
def test_a_format_without_members_is_kept_to(
    real: httpx.Client, model: str, wanted: str | dict[str, object]
) -> None:
    """Sent as it is, llama-server would not hold the model to it."""
    request = replace(in_form(model, {}), format=wanted, max_tokens=8)
    assert said(real, request).lstrip()[:1] in '{["-0123456789tfn'

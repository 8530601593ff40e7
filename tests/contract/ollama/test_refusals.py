"""In which order both servers refuse, with which status, and in whose words."""

import json
import re
from typing import Any

import pytest

from tests.contract.ollama.conftest import Server, error

TOOL = {"type": "function", "function": {"name": "x", "parameters": {"type": "object"}}}
BAD_OPTION = {"temperature": "x"}
LONG = [{"role": "user", "content": "word " * 700}]
PNG = "iVBORw0KGgoAAAANSUhEUg=="


def nested(text: str) -> dict[str, Any]:
    """llama-server's own error, which is the text of Ollama's."""
    found: dict[str, Any] = json.loads(text)["error"]
    return found


def turns(*roles: str) -> list[dict[str, str]]:
    """A message of each role."""
    return [{"role": role, "content": "x"} for role in roles]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"temperature": "0.5"}, 'option "temperature" must be of type float32'),
        ({"num_ctx": True}, 'option "num_ctx" must be of type integer'),
        ({"stop": "x"}, 'option "stop" must be of type array'),
        ({"stop": [1]}, 'option "stop" must be of an array of strings'),
        ({"use_mmap": 1}, 'option "use_mmap" must be of type boolean'),
    ],
)
def test_an_option_of_a_wrong_type_is_500_even_where_only_a_load_is_wanted(
    server: Server, options: dict[str, object], text: str
) -> None:
    """A request without messages passes the same checks."""
    for response in (
        server.chat(server.rendered, options=options),
        server.load(server.rendered, options=options),
    ):
        assert (response.status_code, error(response)) == (500, text)


def test_thinking_is_refused_before_tools_and_tools_before_options(server: Server) -> None:
    """With everything wrong at once the first check speaks; an unload is checked for nothing."""
    model = server.rendered
    thinking = server.chat(model, think=True, tools=[TOOL], options=BAD_OPTION)
    assert (thinking.status_code, error(thinking)) == (400, f'"{model}" does not support thinking')
    tools = server.chat(model, tools=[TOOL], options=BAD_OPTION)
    text = f"registry.ollama.ai/library/{model}:latest does not support tools"
    assert (tools.status_code, error(tools)) == (400, text)
    assert server.load(model, think=True).status_code == 400
    assert server.load(model, keep_alive=0, options=BAD_OPTION, think=True).status_code == 200


@pytest.mark.parametrize(("value", "quoted"), [("xml", r'"\"xml\""'), (5, '"5"'), ([], '"[]"')])
def test_a_format_is_looked_at_by_the_runner_first_of_all(
    server: Server, value: object, quoted: str
) -> None:
    """500, before roles, window and images; a load passes it."""
    text = f'invalid format: {quoted}; expected "json" or a valid JSON Schema object'
    for messages in (LONG, turns("user", "user")):
        response = server.chat(server.strict, format=value, messages=messages)
        assert (response.status_code, error(response)) == (500, text)
    assert server.load(server.strict, format=value).status_code == 200


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "string", "pattern": "a+"}, "Pattern must start with '^' and end with '$'"),
        ({"$ref": "http://x.example/y"}, "Unsupported ref: http://x.example/y"),
        (
            {"$ref": "#/$defs/x"},
            'Error resolving ref #/$defs/x: $defs not in {"$ref":"#/$defs/x"}',
        ),
        (
            {"type": "object", "properties": {"a": {"type": "foo"}}},
            'Unrecognized schema: {"type":"foo"}',
        ),
        ({"type": "object", "properties": {"a": True}}, "Unrecognized schema: true"),
        ({"type": "array", "items": {"type": ["null", "foo"]}}, "Unrecognized schema:"),
    ],
)
def test_a_schema_without_a_grammar_is_400_with_its_cause(
    server: Server, schema: dict[str, object], complaint: str
) -> None:
    """On both paths, each with words of its own before it."""
    for model in (server.rendered, server.strict):
        response = server.chat(model, format=schema)
        inner = nested(error(response))
        assert (response.status_code, inner["code"]) == (400, 400)
        assert inner["type"] == "invalid_request_error"
        assert f"JSON schema conversion failed:\n{complaint}" in inner["message"]


def test_a_keyword_of_a_wrong_type_is_400(server: Server) -> None:
    """The JSON library's own words."""
    for schema, wanted in (
        ({"anyOf": {}}, "type must be array, but is object"),
        ({"type": "string", "minLength": "x"}, "type must be number, but is string"),
    ):
        response = server.chat(server.rendered, format=schema)
        assert response.status_code == 400
        assert wanted in nested(error(response))["message"]


@pytest.mark.parametrize(
    ("roles", "complaint"),
    [
        (("user", "user"), "Conversation roles must alternate"),
        (("assistant", "user"), "Conversation roles must alternate"),
        (("user", "assistant", "system", "user"), "System role only allowed at the beginning"),
        (("system", "system", "user"), "System role only allowed at the beginning"),
        (("user", "tool"), "Only user and assistant roles are supported!"),
    ],
)
def test_a_strict_template_refuses_roles_out_of_turn(
    server: Server, roles: tuple[str, ...], complaint: str
) -> None:
    """400 with llama-server's JSON; where Ollama writes the prompt any order passes."""
    response = server.chat(server.strict, messages=turns(*roles))
    inner = nested(error(response))
    assert (response.status_code, inner["code"]) == (400, 400)
    assert inner["message"].startswith("Unable to generate parser for this template.")
    assert complaint in inner["message"]
    assert server.chat(server.rendered, messages=turns(*roles)).status_code == 200


@pytest.mark.parametrize(
    "roles", [("system", "user"), ("developer",), ("user", "assistant"), ("system",)]
)
def test_a_strict_template_takes_these(server: Server, roles: tuple[str, ...]) -> None:
    """A prefilled answer and a lone system message among them; a developer is a system."""
    assert server.chat(server.strict, messages=turns(*roles)).status_code == 200


def test_two_answers_at_the_end_are_refused_by_llama_server_itself(server: Server) -> None:
    """Before the template has a word; not where Ollama writes the prompt."""
    messages = turns("user", "assistant", "assistant")
    response = server.chat(server.strict, messages=messages)
    assert response.status_code == 400
    assert nested(error(response))["message"] == (
        "Cannot have 2 or more assistant messages at the end of the list."
    )
    assert server.chat(server.rendered, messages=messages).status_code == 200


def test_an_image_to_a_model_that_cannot_see_is_refused_at_the_runner(server: Server) -> None:
    """400 where Ollama writes the prompt, 500 on the native path."""
    messages = [{"role": "user", "content": "x", "images": [PNG]}]
    rendered = server.chat(server.rendered, messages=messages)
    assert (rendered.status_code, nested(error(rendered))["message"]) == (
        400,
        "Multimodal data provided, but model does not support multimodal requests.",
    )
    native = server.chat(server.strict, messages=messages)
    assert native.status_code == 500
    assert nested(error(native))["message"].startswith("image input is not supported - hint: ")


def test_roles_and_schema_are_refused_before_the_window(server: Server) -> None:
    """A long prompt with another fault gets the other's error."""
    options = {"num_ctx": 512}
    fields = {"options": options, "truncate": False}
    both = server.chat(server.strict, messages=[*LONG, *turns("user")], **fields)
    assert "must alternate" in error(both)
    both = server.chat(server.strict, messages=LONG, format={"type": "foo"}, **fields)
    assert "Unrecognized schema" in error(both)


def test_an_image_is_refused_before_roles_and_schema(server: Server) -> None:
    """Whatever else is wrong with the request."""
    messages = [{"role": "user", "content": "x", "images": [PNG]}, *turns("user")]
    for model, status in ((server.rendered, 400), (server.strict, 500)):
        response = server.chat(model, messages=messages, format={"type": "foo"})
        assert response.status_code == status
        assert re.search("multimodal|image input", error(response))


def test_in_place_of_a_stream_a_late_error_has_no_charset(server: Server) -> None:
    """What is found before the runner has one."""
    late = server.chat(server.rendered, stream=True, format="xml")
    assert (late.status_code, late.headers["content-type"]) == (500, "application/json")
    roles = {"messages": turns("user", "user"), "stream": True}
    late = server.chat(server.strict, truncate=False, **roles)
    assert (late.status_code, late.headers["content-type"]) == (400, "application/json")
    for early in (
        server.chat(server.rendered, stream=True, options=BAD_OPTION),
        server.chat(server.strict, **roles),  # found when Ollama looks whether to cut
    ):
        assert early.headers["content-type"] == "application/json; charset=utf-8"

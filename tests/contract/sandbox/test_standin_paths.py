"""The two paths of a prompt, thinking, tools and images on the stand-in, where no real model can be
made to do the same at will (docs/ollama.md, Thinking and Records)."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox.ollama import OllamaStandIn, reply_to

MESSAGES = [{"role": "user", "content": "Is it 7?"}]
PNG = "iVBORw0KGgoAAAANSUhEUg=="
SCHEMA = {
    "type": "object",
    "properties": {"zeta": {"type": "integer"}, "alpha": {"type": "string"}},
}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A plain HTTP client of a stand-in."""
    with (
        OllamaStandIn() as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        yield client


def ask(client: httpx.Client, model: str, **fields: object) -> httpx.Response:
    """One chat in one object."""
    asked = {"model": model, "messages": MESSAGES, "stream": False, **fields}
    return client.post("/api/chat", json=asked)


def message(client: httpx.Client, model: str, **fields: object) -> dict[str, Any]:
    """The message of its answer."""
    found: dict[str, Any] = ask(client, model, **fields).json()["message"]
    return found


def tool(name: str, **properties: object) -> dict[str, object]:
    """A tool with these parameters."""
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def test_a_schema_is_answered_in_alphabetical_order_on_the_native_path(
    client: httpx.Client,
) -> None:
    """And in its own order where Ollama writes the prompt."""
    said = reply_to(MESSAGES)
    for model, keys in (("ok", ["zeta", "alpha"]), ("native", ["alpha", "zeta"])):
        content = json.loads(message(client, model, format=SCHEMA)["content"])
        assert content == {"zeta": 1, "alpha": said}
        assert [*content] == keys


def test_a_format_comes_in_a_second_run_which_alone_is_counted(client: httpx.Client) -> None:
    """The thought is in neither count; num_predict is for each run."""
    final = ask(client, "think", format=SCHEMA).json()
    assert final["message"]["thinking"]
    assert json.loads(final["message"]["content"])
    both = ask(client, "think-native", format=SCHEMA).json()
    assert both["message"]["thinking"] == final["message"]["thinking"]
    assert both["eval_count"] > final["eval_count"]
    limit = final["eval_count"]
    enough = ask(client, "think", format=SCHEMA, options={"num_predict": limit}).json()
    assert (enough["done_reason"], enough["eval_count"]) == ("stop", limit)
    one_run = ask(client, "think-native", format=SCHEMA, options={"num_predict": limit}).json()
    assert one_run["done_reason"] == "length"


def test_a_thinking_model_without_a_thought_keeps_to_no_format(client: httpx.Client) -> None:
    """Unless it is told not to think."""
    assert message(client, "think-nothing", format="json")["content"] == reply_to(MESSAGES)
    told = message(client, "think-nothing", format="json", think=False)
    assert json.loads(told["content"]) == {"reply": reply_to(MESSAGES)}
    assert message(client, "think-always", think=False)["thinking"]


@pytest.mark.parametrize(("model", "records"), [("tools:calls3", 1), ("tools-early:calls3", 4)])
def test_a_model_may_call_several_tools_at_once(
    client: httpx.Client, model: str, records: int
) -> None:
    """Counted from 0; all in the final record on the native path, else one record for each."""
    tools = [tool("one"), tool("two")]
    response = ask(client, model, tools=tools, stream=True)
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert len(lines) == records
    calls = [call for line in lines for call in line["message"].get("tool_calls", [])]
    functions = [call["function"] for call in calls]
    assert [(one["index"], one["name"]) for one in functions] == [
        (0, "one"),
        (1, "two"),
        (2, "one"),
    ]
    assert len({call["id"] for call in calls}) == 3
    results = [{"role": "tool", "content": "x", "tool_name": "one"}] * 3
    assert "tool_calls" not in message(client, model, tools=tools, messages=[*MESSAGES, *results])


def test_a_call_that_num_predict_cuts_cannot_be_read(client: httpx.Client) -> None:
    """500 on the native path; else its beginning is the text of the reply."""
    fields = {"tools": [tool("look_up")], "options": {"num_predict": 2}}
    native = ask(client, "tools", **fields)
    assert native.status_code == 500
    text = 'invalid tool call arguments for "look_up": unexpected end of JSON input'
    assert native.json()["error"].endswith(text)
    assert ask(client, "bad-call").status_code == 500
    rendered = ask(client, "tools-early", **fields).json()
    assert (rendered["done_reason"], "tool_calls" in rendered["message"]) == ("length", False)


def test_a_model_is_not_told_what_ollama_drops_of_a_tool(client: httpx.Client) -> None:
    """A const, a default and a reference never reach it."""
    offered = tool("x", kind={"const": "a"}, size={"type": "integer", "const": 3})
    (call,) = message(client, "tools", tools=[offered])["tool_calls"]
    assert call["function"]["arguments"] == {"kind": "Is it 7?", "size": 7}


def test_a_tool_that_is_no_function_is_500_on_the_native_path(client: httpx.Client) -> None:
    """The rendered path takes it."""
    odd = {**tool("x"), "type": "other"}
    assert "Failed to parse tools" in ask(client, "tools", tools=[odd]).json()["error"]
    assert ask(client, "tools-early", tools=[odd]).status_code == 200


def test_a_model_that_can_see_looks_at_the_bytes(client: httpx.Client) -> None:
    """400 for what is no picture."""
    seen = [{**MESSAGES[0], "images": [PNG]}]
    assert ask(client, "vision", messages=seen).status_code == 200
    blind = ask(client, "vision", messages=[{**MESSAGES[0], "images": ["aGk="]}])
    assert blind.status_code == 400
    assert "Failed to load image or audio file" in blind.json()["error"]


def test_an_image_may_take_more_than_ollama_reckons(client: httpx.Client) -> None:
    """What is dropped goes by 768 for each, what is counted by the model."""
    seen = [{**MESSAGES[0], "images": [PNG]}]
    plain, large = (
        ask(client, model, messages=seen).json()["prompt_eval_count"]
        for model in ("vision", "vision:image1024")
    )
    assert large - plain == 1024 - 768
    assert ask(client, "vision:image1024-ctx1000", messages=seen, truncate=False).status_code == 400


def test_a_model_of_the_cloud_answers_without_a_load(client: httpx.Client) -> None:
    """It is in no /api/ps."""
    assert message(client, "gpt-oss:120b-cloud")["content"] == reply_to(MESSAGES)
    listed = client.get("/api/ps").json()["models"]
    assert not any("cloud" in one["name"] for one in listed)
    assert client.get("/api/status").json()["cloud"]["disabled"] is False


def test_an_embedder_makes_vectors(client: httpx.Client) -> None:
    """Of length 1, one for each text."""
    answer = client.post("/api/embed", json={"model": "embedder", "input": ["a", "b"]}).json()
    first, second = answer["embeddings"]
    assert first != second
    assert sum(number**2 for number in first) == pytest.approx(1)


def test_roles_out_of_turn_are_500_where_the_template_has_a_parser_of_its_own(
    client: httpx.Client,
) -> None:
    """So a status alone does not tell what is permanent."""
    response = ask(client, "strict-roles-500", messages=MESSAGES * 2)
    assert response.status_code == 500
    assert "roles must alternate" in response.json()["error"]


def test_a_window_may_come_from_the_file_and_from_training(client: httpx.Client) -> None:
    """/api/show states both, /api/ps what came of it."""
    model = "ok:file6000-trained8000"
    shown = client.post("/api/show", json={"model": model}).json()
    assert "num_ctx                        6000" in shown["parameters"].splitlines()
    assert shown["model_info"]["stand-in.context_length"] == 8000
    for options, window in (({}, 6000), ({"num_ctx": 9000}, 8000)):
        client.post("/api/chat", json={"model": model, "options": options})
        listed = client.get("/api/ps").json()["models"]
        assert [one["context_length"] for one in listed if one["name"] == model] == [window]

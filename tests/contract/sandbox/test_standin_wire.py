"""The stand-in's bytes on the wire, held against docs/ollama.md."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox.ollama import OllamaStandIn, prompt_tokens, reply_to

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is 1 < 2 & ü?"},
]
JSON = "application/json; charset=utf-8"
PNG = "iVBORw0KGgoAAAANSUhEUg=="
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z"


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaStandIn]:
    """One stand-in for this module: none of its tests changes it."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture(scope="module")
def client(ollama: OllamaStandIn) -> Iterator[httpx.Client]:
    """A plain HTTP client of it."""
    with httpx.Client(base_url=ollama.url, trust_env=False) as client:
        yield client


def chat(client: httpx.Client, model: str, **fields: object) -> httpx.Response:
    """One chat with MESSAGES."""
    return client.post("/api/chat", json={"model": model, "messages": MESSAGES, **fields})


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    """The records of a stream."""
    return [json.loads(line) for line in response.content.split(b"\n") if line]


def test_a_stream_has_gos_content_type_and_no_server_header(client: httpx.Client) -> None:
    """Headers of a stream: NDJSON, chunked, no Server."""
    response = chat(client, "ok")
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["transfer-encoding"] == "chunked"
    assert "server" not in response.headers


def test_a_delta_is_written_byte_for_byte_as_go_writes_it(client: httpx.Client) -> None:
    """Key order, escapes, raw UTF-8, one line end."""
    raw = chat(client, "ok").content.split(b"\n")
    found = next(line for line in raw if b"\\u003c" in line)
    created_at = json.loads(found)["created_at"]
    assert re.fullmatch(TIMESTAMP, created_at)
    assert found.decode() == (
        f'{{"model":"ok","created_at":"{created_at}",'
        '"message":{"role":"assistant","content":"\\u003c "},"done":false}'
    )
    assert "ü".encode() in b"".join(raw)
    assert raw[-1] == b""


def test_the_final_record_has_gos_key_order_and_nanoseconds(client: httpx.Client) -> None:
    """The last record counts the prompt and the tokens and states plausible durations."""
    *deltas, final = lines(chat(client, "ok"))
    assert list(final) == [
        "model",
        "created_at",
        "message",
        "done",
        "done_reason",
        "total_duration",
        "load_duration",
        "prompt_eval_count",
        "prompt_eval_duration",
        "eval_count",
        "eval_duration",
    ]
    assert (final["done"], final["done_reason"]) == (True, "stop")
    assert final["prompt_eval_count"] == prompt_tokens(MESSAGES)
    assert final["eval_count"] == len(deltas)
    parts = final["load_duration"] + final["prompt_eval_duration"] + final["eval_duration"]
    assert 0 < parts <= final["total_duration"] < 10_000_000_000


@pytest.mark.parametrize("model", ["ok", "instant", "qwen2.5:0.5b", "some/other-model:7b"])
def test_a_healthy_model_says_what_its_messages_make_it_say(
    client: httpx.Client, model: str
) -> None:
    """The deltas together are reply_to(messages), whatever a healthy model is called."""
    records = lines(chat(client, model))
    assert "".join(record["message"]["content"] for record in records) == reply_to(MESSAGES)


def test_without_stream_the_reply_is_one_object_without_a_line_end(client: httpx.Client) -> None:
    """`stream: false` gives one JSON object that holds the whole text."""
    response = chat(client, "ok", stream=False)
    assert response.headers["content-type"] == JSON
    assert response.content.endswith(b"}")
    record = response.json()
    assert record["message"] == {"role": "assistant", "content": reply_to(MESSAGES)}
    assert (record["done"], record["done_reason"]) == (True, "stop")


def test_generate_answers_with_response_instead_of_message(client: httpx.Client) -> None:
    """/api/generate sees system and prompt as messages and has its own shape."""
    asked = {"model": "ok", "system": "Be brief.", "prompt": MESSAGES[1]["content"]}
    records = lines(client.post("/api/generate", json=asked))
    assert "".join(record["response"] for record in records) == reply_to(MESSAGES)
    assert list(records[0]) == ["model", "created_at", "response", "done"]


def test_field_names_match_in_any_case_and_trailing_bytes_are_ignored(
    client: httpx.Client,
) -> None:
    """As Go's decoder does; no content type is needed either."""
    body = b' {"MODEL":"ok","Messages":[{"Role":"User","CONTENT":"hi"}],"STREAM":false,"x":1} junk'
    response = client.post("/api/chat", content=body)
    said = response.json()["message"]["content"]
    assert said == reply_to([{"role": "user", "content": "hi"}])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "missing request body"),
        (b"  \n", "missing request body"),
        (b'{"model":"ok"', "unexpected EOF"),
        (b'{"model":"o', "unexpected EOF"),
        (b"<xml>", "invalid character '<' looking for beginning of value"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
        (
            b'{"model":1}',
            "json: cannot unmarshal number into Go struct field ChatRequest.model of type string",
        ),
        (
            b'{"model":"ok","messages":[{"role":"user","content":[1]}]}',
            "json: cannot unmarshal array into Go struct field "
            "ChatRequest.messages.content of type string",
        ),
        (b'{"messages":[]}', "model is required"),
        (b'{"model":"a b"}', "invalid model name"),
        (b'{"model":"ok","keep_alive":"300"}', 'time: missing unit in duration "300"'),
        (b'{"model":"ok","keep_alive":"5x"}', 'time: unknown unit "x" in duration "5x"'),
        (b'{"model":"ok","keep_alive":"soon"}', 'time: invalid duration "soon"'),
        (b'{"model":"ok","keep_alive":true}', "Unsupported type: 'bool'"),
        (
            b'{"model":"ok","think":"xhigh"}',
            'invalid think value: "xhigh" (must be "high", "medium", "low", "max", true, or false)',
        ),
        (b'{"model":"ok","top_logprobs":21}', "top_logprobs must be between 0 and 20"),
    ],
)
def test_a_bad_body_gets_400_in_gos_words(client: httpx.Client, body: bytes, text: str) -> None:
    """The texts of docs/ollama.md, Errors."""
    response = client.post("/api/chat", content=body)
    assert (response.status_code, response.headers["content-type"]) == (400, JSON)
    assert response.json() == {"error": text}


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"options": {"temperature": "0.5"}}, 500, 'option "temperature" must be of type float32'),
        ({"options": {"num_ctx": "9"}}, 500, 'option "num_ctx" must be of type integer'),
        ({"options": {"stop": "x"}}, 500, 'option "stop" must be of type array'),
        ({"format": "xml"}, 500, "invalid format: "),
        ({"think": True}, 400, '"ok" does not support thinking'),
    ],
)
def test_a_bad_request_for_a_good_model_is_refused(
    client: httpx.Client, fields: dict[str, object], status: int, text: str
) -> None:
    """Options of a wrong type are a 500 in Ollama, a missing ability a 400."""
    response = chat(client, "ok", **fields)
    assert response.status_code == status
    assert response.json()["error"].startswith(text)


def test_null_and_unknown_options_are_ignored(client: httpx.Client) -> None:
    """So a client may send what it likes."""
    options = {"temperature": None, "seed": 1, "top_p": 1, "use_mmap": True, "new_thing": "x"}
    assert chat(client, "ok", options=options, tools=[]).status_code == 200


@pytest.mark.parametrize(
    ("model", "status", "text"),
    [
        ("missing", 404, "model 'missing' not found"),
        ("unsigned-401", 401, "unauthorized"),
        ("disabled-403", 403, "ollama cloud is disabled: remote model is unavailable"),
        (
            "busy-503",
            503,
            "server busy, please try again.  maximum pending requests exceeded",
        ),
    ],
)
def test_a_refusing_model_has_ollamas_exact_text(
    client: httpx.Client, model: str, status: int, text: str
) -> None:
    """As docs/ollama.md, Errors; the queue's text has two spaces, no Retry-After."""
    response = chat(client, model)
    assert (response.status_code, response.json()["error"]) == (status, text)
    assert response.headers["content-type"] == JSON
    assert "retry-after" not in response.headers


def test_an_overflow_is_an_error_string_that_holds_json(client: httpx.Client) -> None:
    """llama-server's JSON inside Ollama's; in place of a stream its type lacks the charset."""
    response = chat(client, "window:ctx5")
    inner = json.loads(response.json()["error"])["error"]
    assert (response.status_code, inner["type"]) == (400, "exceed_context_size_error")
    assert (inner["n_prompt_tokens"], inner["n_ctx"]) == (prompt_tokens(MESSAGES), 5)
    assert response.headers["content-type"] == "application/json"
    assert chat(client, "window:ctx5", stream=False).headers["content-type"] == JSON


def test_a_prompt_that_fits_the_window_is_answered(client: httpx.Client) -> None:
    """num_ctx of the request goes before the model's own window."""
    assert chat(client, "window").status_code == 200
    assert chat(client, "window", options={"num_ctx": 5}).status_code == 400


def test_what_is_over_the_window_is_dropped_from_the_front_unless_forbidden(
    client: httpx.Client,
) -> None:
    """Ollama's silent trimming: system and last message stay; `truncate: false` gets 400."""
    old = {"role": "user", "content": "x" * 400}
    asked = {"model": "window:ctx40", "messages": [MESSAGES[0], old, old, MESSAGES[1]]}
    records = lines(client.post("/api/chat", json=asked))
    assert "".join(record["message"]["content"] for record in records) == reply_to(MESSAGES)
    assert records[-1]["prompt_eval_count"] == prompt_tokens(MESSAGES)
    assert client.post("/api/chat", json={**asked, "truncate": False}).status_code == 400


@pytest.mark.parametrize(
    ("model", "fields"),
    [("rendered:ctx10", {}), ("half-window:ctx10", {"truncate": False, "shift": False})],
)
def test_a_half_window_shows_in_the_prompt_count_alone(
    client: httpx.Client, model: str, fields: dict[str, bool]
) -> None:
    """Silent truncation of the rendered path: 200, and a count of the ends that are kept."""
    assert lines(chat(client, model, **fields))[-1]["prompt_eval_count"] == 10 - (10 - 5) // 2
    options = {"num_keep": 0}
    final = lines(chat(client, model, options=options, **fields))[-1]
    assert final["prompt_eval_count"] == 10 - (10 - 1) // 2


def test_the_rendered_path_refuses_without_counts_what_it_may_cut(client: httpx.Client) -> None:
    """Its own words, if the window may not shift; with counts if it may not cut either."""
    response = chat(client, "rendered:ctx5", shift=False)
    assert response.status_code == 400
    assert response.json()["error"].startswith("the prompt is longer than the context length")
    uncut = chat(client, "rendered:ctx5", shift=False, truncate=False)
    assert json.loads(uncut.json()["error"])["error"]["n_ctx"] == 5


def test_a_dense_model_counts_more_for_the_same_text(client: httpx.Client) -> None:
    """And its window is filled the sooner."""
    counted = lines(chat(client, "ok:dense3"))[-1]["prompt_eval_count"]
    assert counted == 3 * prompt_tokens(MESSAGES)
    assert chat(client, f"window:ctx{counted + 1}-dense3").status_code == 200
    assert chat(client, f"window:ctx{counted}-dense3").status_code == 400


def test_an_image_counts_as_ollama_reckons(client: httpx.Client) -> None:
    """768 tokens, whatever its size."""
    seen = [{"role": "user", "content": "see", "images": [PNG, PNG]}]
    body = {"model": "vision", "messages": seen, "stream": False}
    assert client.post("/api/chat", json=body).json()["prompt_eval_count"] == 5 + 2 * 768


def test_without_shift_a_reply_ends_where_the_window_does(client: httpx.Client) -> None:
    """With the reason `length`; with it, the reply goes on."""
    model = f"window:ctx{prompt_tokens(MESSAGES) + 3}"
    final = lines(chat(client, model, shift=False))[-1]
    assert (final["eval_count"], final["done_reason"]) == (3, "length")
    assert lines(chat(client, model))[-1]["done_reason"] == "stop"


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags"])
def test_head_works_where_get_does(client: httpx.Client, path: str) -> None:
    """The same headers, no body."""
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_root_and_version_say_what_ollama_says(client: httpx.Client) -> None:
    """The two health checks that clients use."""
    root = client.get("/")
    assert (root.text, root.headers["content-type"]) == (
        "Ollama is running",
        "text/plain; charset=utf-8",
    )
    assert client.get("/api/version").content == b'{"version":"0.33.0"}'


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/api/nothing", 404, "404 page not found"),
        ("POST", "/v2", 404, "404 page not found"),
        ("GET", "/api/chat", 405, "405 method not allowed"),
        ("DELETE", "/api/tags", 405, "405 method not allowed"),
        ("HEAD", "/api/ps", 405, ""),
    ],
)
def test_an_unknown_path_or_method_gets_gins_plain_text(
    client: httpx.Client, method: str, path: str, status: int, text: str
) -> None:
    """Plain text, no JSON."""
    response = client.request(method, path)
    assert (response.status_code, response.text) == (status, text)
    assert response.headers["content-type"] == "text/plain"


def test_no_messages_load_the_model_and_say_so_in_one_object(client: httpx.Client) -> None:
    """Load only: one JSON object even when streaming, no durations; listed by /api/ps then."""
    response = client.post("/api/chat", json={"model": "loaded-once", "messages": []})
    assert response.headers["content-type"] == JSON
    record = response.json()
    assert list(record) == ["model", "created_at", "message", "done", "done_reason"]
    assert (record["done"], record["done_reason"]) == (True, "load")
    assert "loaded-once:latest" in names(client.get("/api/ps"))


def test_a_keep_alive_of_zero_unloads(client: httpx.Client) -> None:
    """At once without messages, after the reply with them."""
    client.post("/api/chat", json={"model": "gone-soon"})
    record = client.post("/api/chat", json={"model": "gone-soon", "keep_alive": 0}).json()
    assert record["done_reason"] == "unload"
    assert "gone-soon:latest" not in names(client.get("/api/ps"))
    chat(client, "gone-soon", keep_alive=0)
    assert "gone-soon:latest" not in names(client.get("/api/ps"))


def test_ps_states_the_window_and_the_expiry_and_the_longest_comes_first(
    client: httpx.Client,
) -> None:
    """num_ctx is the context_length; a negative keep_alive is for ever."""
    asked = {"model": "long", "keep_alive": -1, "options": {"num_ctx": 2048}}
    client.post("/api/chat", json=asked)
    client.post("/api/chat", json={"model": "short", "keep_alive": "1m"})
    models = client.get("/api/ps").json()["models"]
    by_name = {model["name"]: model for model in models}
    assert by_name["long:latest"]["context_length"] == 2048
    assert by_name["long:latest"]["expires_at"] > "2200"
    assert names(client.get("/api/ps")).index("long:latest") < [*by_name].index("short:latest")


def test_tags_list_the_scenarios_and_every_model_that_was_named(client: httpx.Client) -> None:
    """A client that validates its model finds it, but never `missing`."""
    chat(client, "named-once")
    listed = names(client.get("/api/tags"))
    assert {"qwen2.5:0.5b", "ok:latest", "named-once:latest"} <= set(listed)
    assert "missing:latest" not in listed


def test_show_tells_abilities_and_training_window(client: httpx.Client) -> None:
    """By `model` or by `name`; 404 with the tag added."""
    shown = client.post("/api/show", json={"name": "think"}).json()
    assert shown["capabilities"] == ["completion", "tools", "thinking"]
    assert shown["model_info"]["stand-in.context_length"] == 32_768
    shown = client.post("/api/show", json={"model": "vision"}).json()
    assert shown["capabilities"] == ["completion", "tools", "vision"]
    assert "capabilities" not in client.post("/api/show", json={"model": "no-abilities"}).json()
    response = client.post("/api/show", json={"model": "missing"})
    assert (response.status_code, response.json()) == (
        404,
        {"error": "model 'missing:latest' not found"},
    )


def names(response: httpx.Response) -> list[str]:
    """The names in an answer of tags or ps."""
    return [model["name"] for model in response.json()["models"]]


def test_thinking_comes_before_the_text_and_can_be_switched_off(client: httpx.Client) -> None:
    """`content` is there and empty meanwhile; unset means thinking."""
    records = lines(chat(client, "think"))
    thinking = [bool(record["message"].get("thinking")) for record in records]
    assert thinking == sorted(thinking, reverse=True)
    assert records[0]["message"]["content"] == ""
    assert "".join(record["message"]["content"] for record in records) == reply_to(MESSAGES)
    assert not any("thinking" in r["message"] for r in lines(chat(client, "think", think=False)))


@pytest.mark.parametrize(("model", "position"), [("tools", -1), ("tools-early", 0)])
def test_a_tool_call_has_an_object_for_arguments(
    client: httpx.Client, model: str, position: int
) -> None:
    """In the final record on the native path, before it on the rendered one."""
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    records = lines(chat(client, model, tools=[tool]))
    (call,) = records[position]["message"]["tool_calls"]
    assert call["function"]["name"] == "look_up"
    assert isinstance(call["function"]["arguments"], dict)
    assert len([r for r in records if "tool_calls" in r["message"]]) == 1


@pytest.mark.parametrize("model", ["tools", "tools-early", "tools:rounds3"])
def test_a_model_with_the_results_of_its_calls_answers(client: httpx.Client, model: str) -> None:
    """After as many rounds as its tag says; the arguments fit the parameters."""
    parameters = {"type": "object", "properties": {"n": {"type": "integer"}, "of": {}}}
    tool = {"type": "function", "function": {"name": "look_up", "parameters": parameters}}
    messages = [{"role": "tool", "content": "of an earlier turn"}, *MESSAGES]
    rounds = 3 if "rounds" in model else 1
    for _ in range(rounds):
        (call,) = replied(client, model, messages, tool)["tool_calls"]
        assert call["function"]["arguments"] == {"n": 1, "of": MESSAGES[-1]["content"]}
        messages += [{"role": "assistant", "content": "", "tool_calls": [call]}]
        messages += [{"role": "tool", "content": "42", "tool_name": "look_up"}]
    answer = replied(client, model, messages, tool)
    assert "tool_calls" not in answer
    assert answer["content"] == reply_to(messages)


def replied(
    client: httpx.Client, model: str, messages: list[dict[str, object]], tool: object
) -> dict[str, object]:
    """The message of a whole reply."""
    asked = {"model": model, "messages": messages, "tools": [tool], "stream": False}
    message: dict[str, object] = client.post("/api/chat", json=asked).json()["message"]
    return message


def test_a_model_without_tools_refuses_them_by_its_full_name(client: httpx.Client) -> None:
    """But not an empty list, which ollama-python always sends."""
    tool = {"type": "function", "function": {"name": "look_up"}}
    response = chat(client, "no-tools", tools=[tool])
    text = "registry.ollama.ai/library/no-tools:latest does not support tools"
    assert (response.status_code, response.json()["error"]) == (400, text)
    assert chat(client, "no-tools", tools=[]).status_code == 200


def test_a_format_gets_json_that_fits_it(client: httpx.Client) -> None:
    """`json` and a schema."""
    said = chat(client, "ok", format="json", stream=False).json()["message"]["content"]
    assert json.loads(said) == {"reply": reply_to(MESSAGES)}
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string"}}}
    said = chat(client, "ok", format=schema, stream=False).json()["message"]["content"]
    assert json.loads(said) == {"n": 1, "s": reply_to(MESSAGES)}


def test_num_predict_cuts_the_reply_and_says_length(client: httpx.Client) -> None:
    """As Ollama does; -1 is no limit."""
    *deltas, final = lines(chat(client, "ok", options={"num_predict": 4}))
    assert (len(deltas), final["eval_count"], final["done_reason"]) == (4, 4, "length")
    assert lines(chat(client, "ok", options={"num_predict": -1}))[-1]["done_reason"] == "stop"


def test_the_newer_profile_adds_the_cached_count() -> None:
    """One switch for the shapes of 0.40."""
    with (
        OllamaStandIn(profile="0.40") as newer,
        httpx.Client(base_url=newer.url, trust_env=False) as client,
    ):
        assert lines(chat(client, "ok"))[-1]["prompt_eval_cached_count"] > 0
        assert client.get("/api/version").json() == {"version": "0.40.12"}

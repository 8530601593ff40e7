"""What both servers answer where all is well: records, their order and their members."""

import json
from typing import Any

import httpx

from tests.contract.ollama.conftest import BRIEF, USER, Server

FINAL = [
    "model", "created_at", "message", "done", "done_reason", "total_duration", "load_duration",
    "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration",
]  # fmt: skip
SCHEMA = {
    "type": "object",
    "properties": {"zeta": {"type": "integer"}, "alpha": {"type": "boolean"}},
    "required": ["zeta", "alpha"],
}


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    """The records of a stream."""
    return [json.loads(line) for line in response.content.split(b"\n") if line]


def test_a_stream_is_deltas_and_a_final_record(server: Server) -> None:
    """One record a line, the counts in the last one, the model as it was asked for."""
    for model in (server.rendered, server.strict):
        response = server.chat(model, stream=True)
        assert response.headers["content-type"] == "application/x-ndjson"
        *deltas, final = lines(response)
        for delta in deltas:
            assert list(delta) == ["model", "created_at", "message", "done"]
            assert list(delta["message"]) == ["role", "content"]
        assert list(final) == FINAL
        assert final["message"] == {"role": "assistant", "content": ""}
        assert (final["model"], final["done"], final["done_reason"]) == (model, True, "length")
        assert final["eval_count"] == BRIEF["num_predict"]


def test_without_stream_it_is_one_object(server: Server) -> None:
    """The final record with the whole text."""
    response = server.chat(server.rendered)
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert list(response.json()) == FINAL


def test_a_load_and_an_unload_are_one_object_without_counts(server: Server) -> None:
    """Also where a stream is asked for; an unload of what is not loaded is one, too."""
    for fields, reason in (
        ({}, "load"), ({"keep_alive": 0}, "unload"), ({"keep_alive": 0}, "unload"),
    ):  # fmt: skip
        response = server.load(server.rendered, stream=True, **fields)
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert list(response.json()) == FINAL[:5]
        assert (response.json()["done"], response.json()["done_reason"]) == (True, reason)


def test_generate_has_a_shape_of_its_own(server: Server) -> None:
    """`response` in place of a message; without a prompt a load; a missing model is 404."""
    response = server.post("/api/generate", {"model": server.rendered})
    assert list(response.json()) == ["model", "created_at", "response", "done", "done_reason"]
    missing = server.post("/api/generate", {})
    assert (missing.status_code, missing.json()) == (404, {"error": "model '' not found"})


def test_a_thinking_model_thinks_unless_it_is_told_not_to(server: Server) -> None:
    """The content is there and empty meanwhile."""
    first, *_ = lines(server.chat(server.thinking, stream=True))
    assert list(first["message"]) == ["role", "content", "thinking"]
    assert first["message"]["content"] == ""
    told = server.chat(server.thinking, think=False).json()
    assert "thinking" not in told["message"]


def test_thinking_alone_may_use_up_num_predict(server: Server) -> None:
    """Then there is no second run: its counts are those of the thought."""
    final = server.chat(server.thinking, format=SCHEMA).json()
    assert (final["message"]["content"], final["done_reason"]) == ("", "length")
    assert final["eval_count"] == BRIEF["num_predict"]


def test_the_native_path_does_not_keep_to_json_without_a_schema(server: Server) -> None:
    """`"json"` and the empty schema are no format to llama-server's own chat."""
    for form in ("json", {}):
        native = server.chat(server.strict, format=form, options={**BRIEF, "num_predict": 4})
        assert not native.json()["message"]["content"].lstrip().startswith("{")
        rendered = server.chat(server.rendered, format=form, options={**BRIEF, "num_predict": 4})
        assert rendered.json()["message"]["content"].lstrip().startswith("{")


def test_neighbours_of_one_role_are_answered_where_ollama_writes_the_prompt(
    server: Server,
) -> None:
    """Also an empty answer between them, and a prompt without a word."""
    for messages in (
        [USER, USER],
        [USER, {"role": "assistant", "content": ""}, USER],
        [{"role": "user", "content": ""}],
    ):
        assert server.chat(server.rendered, messages=messages).status_code == 200

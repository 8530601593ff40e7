"""Loads, reloads, unloads and names of models on both servers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest

from tests.contract.ollama.conftest import BRIEF, USER, Server
from tests.support.waiting import wait_until

LOADED_S = 0.2
"""A warm model is handed over in less, a cold one is not."""


def load_s(response: httpx.Response) -> float:
    """How long the request waited for its model."""
    return float(response.json()["load_duration"]) / 1e9


@contextmanager
def running(server: Server, model: str) -> Iterator[Iterator[str]]:
    """A reply that goes on for a while: its lines after the first one."""
    options = {"num_predict": 40, "temperature": 1}
    asked = {"model": model, "messages": [USER], "options": options}
    with server.client.stream("POST", "/api/chat", json=asked) as response:
        lines = response.iter_lines()
        next(lines)
        yield lines


def is_loaded(server: Server, model: str) -> bool:
    """Whether /api/ps lists it."""
    return any(name.startswith(model) for name in server.loaded())


def spellings(name: str) -> list[str]:
    """Other names of the same model."""
    full = f"registry.ollama.ai/library/{name}:latest"
    return [name.upper(), f"{name}:LATEST", f"library/{name}", full, f"https://{full}", f" {name} "]


def test_every_spelling_of_a_name_is_the_same_model(server: Server) -> None:
    """One in memory, listed as it was made; the answer has the name as it was asked for."""
    server.unload_all()
    for name in (server.rendered, *spellings(server.rendered)):
        assert server.load(name).json()["model"] == name
        assert [*server.loaded()] == [f"{server.rendered}:latest"]
        assert server.post("/api/show", {"model": name}).status_code == 200


@pytest.mark.parametrize("name", ["a/b/c/d", "x:", "/x", "-x", "x" * 90, "x@sha256:a", "a b"])
def test_what_is_no_name_is_400(server: Server, name: str) -> None:
    """Of a chat and of a look-up."""
    for response in (server.load(name), server.post("/api/show", {"model": name})):
        assert (response.status_code, response.json()) == (400, {"error": "invalid model name"})


def test_a_model_that_is_not_there_is_404_by_the_name_that_was_asked_for(server: Server) -> None:
    """/api/show adds the tag; an unload is refused likewise."""
    text = "model 'missing' not found"
    for fields in ({}, {"keep_alive": 0}, {"think": True, "options": {"temperature": "x"}}):
        response = server.load("missing", **fields)
        assert (response.status_code, response.json()) == (404, {"error": text})
    shown = server.post("/api/show", {"model": "missing"})
    assert (shown.status_code, shown.json()) == (404, {"error": "model 'missing:latest' not found"})


def test_a_model_of_the_cloud_is_403_where_the_cloud_is_off(server: Server) -> None:
    """By its tag alone."""
    for name in ("x:cloud", "x:9b-cloud"):
        response = server.load(name)
        assert response.status_code == 403
        assert response.json()["error"].startswith("ollama cloud is disabled: ")


def test_two_names_of_one_file_share_a_runner(server: Server) -> None:
    """/api/ps has the one that loaded it."""
    server.unload_all()
    names = {"source": server.rendered, "destination": "second-name"}
    assert server.post("/api/copy", names).status_code == 200
    assert server.chat(server.rendered).status_code == 200
    second = server.chat("second-name")
    assert second.json()["model"] == "second-name"
    assert [*server.loaded()] == [f"{server.rendered}:latest"]
    tags = {tag["name"]: tag["digest"] for tag in server.client.get("/api/tags").json()["models"]}
    assert tags["second-name:latest"] == tags[f"{server.rendered}:latest"]
    missing = server.post("/api/copy", {"source": "missing", "destination": "x"})
    assert (missing.status_code, missing.json()) == (404, {"error": 'model "missing" not found'})


def test_another_shift_or_window_loads_the_model_anew_and_what_is_equal_does_not(
    server: Server,
) -> None:
    """It is the value that counts, not whether it was said; `main_gpu` is an exception."""
    server.load(server.cold, options={"num_ctx": 1024})
    for fields, is_new in (
        ({"num_ctx": 1024}, False),
        ({"num_ctx": 1024, "temperature": 1, "num_thread": 0, "num_batch": 512}, False),
        ({"num_ctx": 512}, True),
        ({"num_ctx": 512, "num_gpu": -1, "use_mmap": False, "draft_num_predict": 0}, False),
        ({"num_ctx": 512, "main_gpu": 0}, True),
    ):
        asked = server.chat(server.cold, options={**BRIEF, **fields})
        assert (load_s(asked) > LOADED_S) is is_new, fields
    small = {"options": {**BRIEF, "num_ctx": 512}}
    for shift, is_new in ((True, True), (False, True), (False, False)):
        assert (load_s(server.chat(server.cold, shift=shift, **small)) > LOADED_S) is is_new, shift


def test_an_unload_waits_for_the_reply_that_runs(server: Server) -> None:
    """It is answered at once, and takes effect when the reply has ended."""
    server.load(server.slow, keep_alive="10m")
    with running(server, server.slow) as lines:
        assert server.load(server.slow, keep_alive=0).json()["done_reason"] == "unload"
        assert is_loaded(server, server.slow)
        assert json.loads([*lines][-1])["done"] is True
    wait_until(lambda: not is_loaded(server, server.slow), what="the model is gone")


def test_a_keep_alive_that_comes_meanwhile_undoes_an_unload(server: Server) -> None:
    """Of any other client: the model stays."""
    server.load(server.slow)
    with running(server, server.slow) as lines:
        server.load(server.slow, keep_alive=0)
        server.load(server.slow, keep_alive="10m")
        assert json.loads([*lines][-1])["done"] is True
    assert is_loaded(server, server.slow)
    server.load(server.slow, keep_alive=0)
    wait_until(lambda: not is_loaded(server, server.slow), what="nobody uses it any more")


def test_a_model_answers_one_at_a_time_and_only_the_total_tells_of_the_wait(
    server: Server,
) -> None:
    """The second waits until the first has ended, with a model that is loaded."""
    server.load(server.slow)
    with running(server, server.slow) as lines:
        second = server.chat(server.slow).json()
        assert json.loads([*lines][-1])["done"] is True, "all of the first is there"
    parts = ("load_duration", "prompt_eval_duration", "eval_duration")
    assert second["total_duration"] - sum(second[part] for part in parts) > 0.1e9


def test_a_keep_alive_stays_until_another_one_comes(server: Server) -> None:
    """The time starts anew with each request; `expires_at` says when it ends."""
    server.unload_all()
    for fields, minutes in (({"keep_alive": "30m"}, 30), ({}, 30), ({"keep_alive": 3600}, 60)):
        server.load(server.rendered, **fields)
        (model,) = server.loaded().values()
        expires = datetime.fromisoformat(model["expires_at"][:19]).replace(tzinfo=UTC)
        left_s = (expires - datetime.now(UTC)).total_seconds()
        assert minutes * 60 - 30 < left_s <= minutes * 60 + 1
    server.load(server.rendered, keep_alive=-1)
    assert server.loaded()[f"{server.rendered}:latest"]["expires_at"] > "2200"
    server.unload_all()

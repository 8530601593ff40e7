"""What both servers tell of themselves, and to whom."""

import re

import pytest

from tests.contract.ollama.conftest import Server

DETAILS = {
    "parent_model", "format", "family", "families", "parameter_size", "quantization_level",
}  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags"])
def test_head_is_get_without_a_body(server: Server, path: str) -> None:
    """For these three."""
    head, get = server.client.head(path), server.client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("HEAD", "/api/ps", 405, ""),
        ("HEAD", "/api/status", 405, ""),
        ("HEAD", "/v1/models", 405, ""),
        ("GET", "/api/chat", 405, "405 method not allowed"),
        ("DELETE", "/api/tags", 405, "405 method not allowed"),
        ("DELETE", "/v1/models/x", 405, "405 method not allowed"),
        ("GET", "/nothing", 404, "404 page not found"),
        ("POST", "/api/nothing", 404, "404 page not found"),
    ],
)
def test_an_unknown_path_or_method_gets_plain_text(
    server: Server, method: str, path: str, status: int, text: str
) -> None:
    """Of the web framework, no JSON."""
    response = server.client.request(method, path)
    assert (response.status_code, response.text) == (status, text)
    assert response.headers["content-type"] == "text/plain"


def test_version_and_root_and_status(server: Server) -> None:
    """What health checks ask."""
    assert server.client.get("/").text == "Ollama is running"
    assert re.fullmatch(r"\d+\.\d+\.\d+", server.client.get("/api/version").json()["version"])
    assert server.client.get("/api/status").json() == {"cloud": {"disabled": True, "source": "env"}}


def test_tags_have_lengths_and_capabilities(server: Server) -> None:
    """Of a native model's own template nothing is known there."""
    listed = {tag["name"]: tag for tag in server.client.get("/api/tags").json()["models"]}
    wanted = {
        server.rendered: ["completion"],
        server.strict: ["completion"],
        server.tools: ["completion", "tools"],
        server.thinking: ["completion", "thinking"],
    }
    for name, capabilities in wanted.items():
        tag = listed[f"{name}:latest"]
        assert [*tag] == [
            "name", "model", "modified_at", "size", "digest", "details", "capabilities",
        ]  # fmt: skip
        assert {*tag["details"]} == DETAILS | {"context_length", "embedding_length"}
        if name != server.thinking:  # the stand-in's can use tools, too
            assert tag["capabilities"] == capabilities
        assert {*capabilities} <= {*tag["capabilities"]}


def test_show_tells_capabilities_parameters_and_what_the_model_was_trained_for(
    server: Server,
) -> None:
    """Parameters are lines of text, a name of 30 columns and a value."""
    shown = server.post("/api/show", {"model": server.rendered}).json()
    members = {
        "modelfile", "parameters", "template", "details", "model_info", "capabilities",
        "modified_at",
    }  # fmt: skip
    assert members <= {*shown}
    assert {*shown["details"]} == DETAILS
    family = shown["model_info"]["general.architecture"]
    assert shown["model_info"][f"{family}.context_length"] == 32_768
    assert all(re.fullmatch(r"\S+ {2,}\S.*", line) for line in shown["parameters"].splitlines())
    assert re.search(r'^stop {27}"<.+>"$', shown["parameters"], re.MULTILINE)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "missing request body"),
        (b"{}", "model is required"),
        (
            b'{"model":5}',
            "json: cannot unmarshal number into Go struct field ShowRequest.model of type string",
        ),
    ],
)
def test_show_refuses_what_names_no_model(server: Server, content: bytes, text: str) -> None:
    """400."""
    response = server.post("/api/show", content=content)
    assert (response.status_code, response.json()) == (400, {"error": text})


def test_a_pull_begins_with_the_manifest_even_where_it_fails(server: Server) -> None:
    """200 and an error line, 500 where nothing is streamed; no model is 400."""
    nowhere = "nowhere" if server.rendered == "no-tools" else "127.0.0.1:1/x/nowhere"
    first, second = server.post("/api/pull", {"model": nowhere}).text.splitlines()
    assert first == '{"status":"pulling manifest"}'
    assert second.startswith('{"error":"pull model manifest: ')
    whole = server.post("/api/pull", {"model": nowhere, "stream": False})
    assert (whole.status_code, whole.headers["content-type"]) == (500, "application/json")
    none = server.post("/api/pull", {})
    assert (none.status_code, none.json()) == (400, {"error": "invalid model name"})


@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        (
            {"model": "missing", "input": "x"},
            404,
            'model "missing" not found, try pulling it first',
        ),
        ({"input": "x"}, 404, "model '' not found"),
        ({"input": 5}, 400, "invalid input type"),
        (
            {"input": "x", "model": "rendered"},
            501,
            "This server does not support embeddings. Start it with `--embeddings`",
        ),
    ],
)
def test_embeddings_are_refused_of_what_makes_none(
    server: Server, asked: dict[str, object], status: int, text: str
) -> None:
    """An empty list has no vectors, of any model."""
    if asked.get("model") != "missing" and "model" in asked:
        asked = {**asked, "model": server.rendered}
    if status == 400:
        asked = {**asked, "model": server.rendered}
    response = server.post("/api/embed", asked)
    assert (response.status_code, response.json()) == (status, {"error": text})
    empty = server.post("/api/embed", {"model": server.rendered, "input": []})
    assert empty.json() == {"model": server.rendered, "embeddings": []}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "x.local"}, 200),
        ({"Host": "x.internal:99"}, 200),
        ({"Host": "10.1.2.3:99"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "8.8.8.8"}, 403),
        ({"Host": "ollama:11434"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://evil.example"}, 403),
    ],
)
def test_a_server_on_loopback_answers_local_hosts_and_pages_alone(
    server: Server, headers: dict[str, str], status: int
) -> None:
    """403 without a body otherwise."""
    response = server.client.get("/api/version", headers=headers)
    assert response.status_code == status
    assert status == 200 or not response.content

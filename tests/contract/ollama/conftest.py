"""The two servers that the tests of this folder hold to one contract: the stand-in and Ollama."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sandbox.ollama import OllamaStandIn
from tests.support.machine import scaled
from tests.support.servers.real_ollama import RealOllama

USER = {"role": "user", "content": "hi"}
BRIEF = {"num_predict": 2, "temperature": 0}


@dataclass(frozen=True)
class Server:
    """One of the two, and what its models are called."""

    client: httpx.Client
    rendered: str
    """Ollama writes its prompt; it can do nothing but complete."""
    strict: str
    """Its own template takes user and assistant by turns only."""
    tools: str
    thinking: str
    cold: str
    """Takes a while to load."""
    slow: str
    """Takes a while to answer."""

    def post(self, path: str, body: object = None, content: bytes = b"") -> httpx.Response:
        """A JSON body, or `content` as it is."""
        if body is not None:
            return self.client.post(path, json=body)
        return self.client.post(path, content=content)

    def chat(self, model: str, **fields: object) -> httpx.Response:
        """A chat of two tokens in one object, unless `fields` say otherwise."""
        asked = {"model": model, "messages": [USER], "stream": False, "options": BRIEF}
        return self.post("/api/chat", {**asked, **fields})

    def load(self, model: str, **fields: object) -> httpx.Response:
        """A request without messages."""
        return self.post("/api/chat", {"model": model, **fields})

    def loaded(self) -> dict[str, Any]:
        """What /api/ps lists, by name."""
        return {model["name"]: model for model in self.client.get("/api/ps").json()["models"]}

    def unload_all(self) -> None:
        """Let every model go."""
        for name in self.loaded():
            self.load(name, keep_alive=0)


@pytest.fixture(scope="session", params=["stand-in", pytest.param("real", marks=pytest.mark.model)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each of the two in turn."""
    if request.param == "stand-in":
        names = {
            "rendered": "no-tools", "strict": "strict-roles",
            "tools": "tools-early", "thinking": "think",
            "cold": "cold:load400ms", "slow": "slow-tokens:40x50ms",
        }  # fmt: skip
        with OllamaStandIn(no_cloud=True) as standin, http_client(standin.url) as client:
            yield Server(client, **names)
        return
    real: RealOllama = request.getfixturevalue("real_ollama")
    with http_client(real.url) as client:
        yield Server(client, "gemma", "strict", "tools", "thinking", "gemma", "gemma")


def http_client(url: str) -> httpx.Client:
    """A plain client of `url`, patient with a real model."""
    return httpx.Client(base_url=url, trust_env=False, timeout=scaled(60))


def error(response: httpx.Response) -> str:
    """The text of a refusal."""
    text: str = response.json()["error"]
    return text

"""Asking a server what its models can do."""

import socket

import pytest

from llm import (
    Fleet,
    LLMSettings,
    ModelNotFoundError,
    OllamaClient,
    OllamaUnreachableError,
)
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port


async def looked_up(url: str, model: str) -> frozenset[str] | None:
    """What one look-up gives."""
    settings = LLMSettings(base_url=url)
    async with Fleet.from_settings(settings, max_connections=2) as fleet:
        return await fleet.capabilities(model)


@pytest.mark.parametrize(
    ("model", "capabilities"),
    [
        ("qwen2.5:0.5b", {"completion", "tools"}),
        ("think", {"completion", "tools", "thinking"}),
        ("vision", {"completion", "tools", "vision"}),
        ("no-tools", {"completion"}),
        ("embedder", {"embedding"}),
        ("no-abilities", None),
    ],
)
async def test_what_models_can_do_is_asked_without_a_call(
    model: str, capabilities: set[str] | None
) -> None:
    """In Ollama's words; None where the server is too old to tell."""
    with OllamaStandIn() as ollama:
        assert await looked_up(ollama.url, model) == capabilities
        assert (ollama.stats.requests, ollama.stats.lookups) == (0, 1)


async def test_a_model_that_is_not_there() -> None:
    """The same error as that of the call."""
    with OllamaStandIn() as ollama, pytest.raises(ModelNotFoundError):
        await looked_up(ollama.url, "missing")


async def test_a_server_that_is_not_there() -> None:
    """Refused, or accepted and then silent, as an Ollama that is starting."""
    with pytest.raises(OllamaUnreachableError):
        await looked_up(f"http://127.0.0.1:{free_port()}", "ok")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(OllamaUnreachableError, match=r"0\.2 s"):
            async with OllamaClient(url) as client:
                await client.lookup("/api/show", content=b"{}", timeout_s=0.2)

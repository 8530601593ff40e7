"""Asking a server what its models can do."""

import socket

import pytest

from llm import (
    LLMSettings,
    ModelNotFoundError,
    OllamaClient,
    OllamaUnreachableError,
)
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port


async def told(url: str, model: str, *, timeout_s: float = 3.0) -> frozenset[str] | None:
    """What one lookup gives."""
    settings = LLMSettings(base_url=url)
    async with OllamaClient.from_settings(settings, max_connections=2) as client:
        return await client.capabilities(model, timeout_s=timeout_s)


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
        assert await told(ollama.url, model) == capabilities
        assert (ollama.stats.requests, ollama.stats.lookups) == (0, 1)


async def test_a_model_that_is_not_there() -> None:
    """The same error as that of the call."""
    with OllamaStandIn() as ollama, pytest.raises(ModelNotFoundError):
        await told(ollama.url, "missing")


async def test_a_server_that_is_not_there() -> None:
    """Refused, or accepted and then silent, as an Ollama that is starting."""
    with pytest.raises(OllamaUnreachableError):
        await told(f"http://127.0.0.1:{free_port()}", "ok")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(OllamaUnreachableError, match=r"0\.2 s"):
            await told(url, "ok", timeout_s=0.2)

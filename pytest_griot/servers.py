"""The servers that stand in for Redis and Ollama."""

from collections.abc import Mapping

from sandbox.ollama import OllamaStandIn
from sandbox.valkey import ValkeyServer


def redis_server() -> ValkeyServer:
    """A Valkey that starts as its `with` block begins, on a free port."""
    return ValkeyServer()


def model_server() -> OllamaStandIn:
    """A stand-in for Ollama that starts as its `with` block begins, on a free port."""
    return OllamaStandIn()


QUICK: Mapping[str, str] = {
    "CHAT_ALLOWED_MODELS": "*",
    "CHAT_RETRY_BASE_SECONDS": "0.05",
    "CHAT_SWEEP_SECONDS": "0.5",
    "LOG_FILE": "",
    "WORKER_DRAIN_SECONDS": "1",
}
"""Settings that make tests quick, and let their jobs name scenarios as models."""

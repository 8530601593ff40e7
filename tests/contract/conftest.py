"""The fixtures that contract tests share."""

from tests.support.memory_fixtures import (
    backend,
    fake_backend,
    memory_settings,
    real_backend,
    redis_memory,
    redis_url,
)
from tests.support.model_fixtures import client, ollama, real_ollama, standin

__all__ = [
    "backend",
    "client",
    "fake_backend",
    "memory_settings",
    "ollama",
    "real_backend",
    "real_ollama",
    "redis_memory",
    "redis_url",
    "standin",
]

"""The fixtures that contract tests share."""

from tests.memory_fixtures import (
    backend,
    fake_backend,
    memory_settings,
    real_backend,
    redis_memory,
    redis_url,
)

__all__ = [
    "backend",
    "fake_backend",
    "memory_settings",
    "real_backend",
    "redis_memory",
    "redis_url",
]

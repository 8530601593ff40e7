"""A world of its own for each test, since each test breaks a part of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST, REDIS_PORT


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that keeps what it acknowledged, at the address that the producer here knows."""
    with ValkeyServer(REDIS_PORT, tmp_path / "valkey", append_only="always") as server:
        yield server


@pytest.fixture
def ollama() -> Iterator[OllamaStandIn]:
    """A stand-in for Ollama."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture
def stack(valkey: ValkeyServer, ollama: OllamaStandIn, tmp_path: Path) -> Iterator[GriotStack]:
    """Starts Griot's processes against these servers and stops them after the test."""
    with GriotStack(
        tmp_path / "logs", redis_url=valkey.url(), ollama_url=ollama.url, settings=FAST
    ) as started:
        yield started

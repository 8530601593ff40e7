"""Real processes: a server, a stand-in for Ollama, workers, beat, Flower."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.ollama import OllamaStandIn
from sandbox.process import Starter
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.conftest import FAST, REDIS_PORT
from tests.support.warm.python import warm


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server at the address that this process' producer knows, for the tests of one module."""
    directory = tmp_path_factory.mktemp("valkey")
    with ValkeyServer(REDIS_PORT, directory, append_only="always") as server:
        yield server


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaStandIn]:
    """A stand-in for Ollama."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes of a module write their logs."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def starter() -> Starter:
    """How the processes of a module are started."""
    return warm


@pytest.fixture(scope="module")
def stack(
    valkey: ValkeyServer, ollama: OllamaStandIn, logs: Path, starter: Starter
) -> Iterator[GriotStack]:
    """Starts Griot's processes against these servers and kills them after the module."""
    with GriotStack(
        logs, redis_url=valkey.url(), ollama_url=ollama.url, settings=FAST, starter=starter
    ) as started:
        yield started
        started.stop(grace_s=0)

"""A stand-in for the tests of a module and a client of it; a real Ollama for a session."""

from collections.abc import AsyncIterator, Iterator

import pytest

from llm import OllamaClient
from sandbox.ollama import OllamaStandIn
from tests.support.servers.real_ollama import NoOllama, RealOllama, running_ollama


@pytest.fixture(scope="module")
def standin() -> Iterator[OllamaStandIn]:
    """One for the module."""
    with OllamaStandIn() as server:
        yield server


@pytest.fixture(scope="session")
def real_ollama() -> Iterator[RealOllama]:
    """For tests that are marked `model`; skipped where there is none."""
    try:
        with running_ollama() as server:
            yield server
    except NoOllama as exc:
        pytest.skip(str(exc))


@pytest.fixture
def ollama(standin: OllamaStandIn) -> OllamaStandIn:
    """The stand-in with nothing recorded; models that were loaded stay so."""
    standin.reset()
    return standin


@pytest.fixture
async def client(ollama: OllamaStandIn) -> AsyncIterator[OllamaClient]:
    """A client of it."""
    async with OllamaClient(ollama.url) as made:
        yield made

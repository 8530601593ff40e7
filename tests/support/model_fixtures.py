"""The model's stand-in for the tests of a module, and a client of it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from llm import OllamaClient
from sandbox.ollama import OllamaStandIn


@pytest.fixture(scope="module")
def standin() -> Iterator[OllamaStandIn]:
    """One for the module."""
    with OllamaStandIn() as server:
        yield server


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

"""A gateway before real servers, and OpenAI's own clients."""

from collections.abc import AsyncIterator, Iterator

import httpx
import openai
import pytest

from sandbox.stack import GriotStack

AGENT = "energy"


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> None:
    """One worker for all tests of a module."""
    stack.worker()


@pytest.fixture(scope="module")
def gateway(stack: GriotStack) -> str:
    """The address of a gateway, which asks for no keys."""
    return stack.gateway()[1]


@pytest.fixture
def http(gateway: str) -> Iterator[httpx.Client]:
    """A plain client of the gateway."""
    with httpx.Client(base_url=gateway, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def client(gateway: str) -> Iterator[openai.OpenAI]:
    """The official client, without its own two retries."""
    with (
        httpx.Client(trust_env=False) as http,
        openai.OpenAI(
            base_url=f"{gateway}/v1", api_key="none", max_retries=0, http_client=http, timeout=30
        ) as client,
    ):
        yield client


@pytest.fixture
async def aclient(gateway: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client for event loops."""
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        openai.AsyncOpenAI(
            base_url=f"{gateway}/v1", api_key="none", max_retries=0, http_client=http, timeout=30
        ) as client,
    ):
        yield client

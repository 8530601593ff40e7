"""A gateway before real servers, and OpenAI's own clients."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from sandbox.stack import GriotStack

AGENT = "energy"
ROOT = Path(__file__).resolve().parents[3]


PROFILES = """
[agents.tooled]
model = "tools"
tools = ["tests.support.tool_functions.capacity_of"]

[agents.mixed]
model = "tools:calls2"
tools = ["tests.support.tool_functions.capacity_of"]
"""


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> None:
    """One worker for all tests of a module; only it knows the agent that has a tool."""
    profiles = stack.directory / "profiles.toml"
    profiles.write_text(PROFILES, "utf-8")
    stack.worker(AGENT_PROFILES=str(profiles), PYTHONPATH=str(ROOT))


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

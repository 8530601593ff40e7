"""A real Ollama for the tests of this folder (tests/support/servers/real_ollama.py)."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.machine import scaled
from tests.support.servers.real_ollama import NoOllama, real_ollama


@pytest.fixture(scope="session")
def real() -> Iterator[httpx.Client]:
    """A client of one that runs; without one the test is skipped."""
    try:
        with (
            real_ollama() as url,
            httpx.Client(base_url=url, timeout=scaled(120), trust_env=False) as client,
        ):
            yield client
    except NoOllama as exc:
        pytest.skip(str(exc))

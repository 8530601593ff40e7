"""Debian's chromium through selenium, and a gateway with what it needs."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tests.e2e.conftest import (
    griot_redis,
    griot_servers,
    griot_settings,
    logs,
    ollama,
    stack,
    starter,
    valkey,
)
from tests.support.browser import BrowserMissing, headless_browser
from tests.support.tab import Driver, Tab

__all__ = ["griot_redis", "griot_servers", "griot_settings", "logs", "ollama", "stack"]
__all__ += ["starter", "valkey"]
ROOT = Path(__file__).resolve().parents[2]
AGENT = "energy"
PROFILES = """
[agents.energy]
model = "slow-tokens:60x0.05s"
[agents.tooled]
model = "tools"
tools = ["tests.support.tool_functions.capacity_of"]
[agents.reader]
model = "tools"
tools = ["tests.support.tool_functions.read_until"]
[agents.thinker]
model = "think"
[agents.eyed]
model = "vision"
[agents.quick]
model = "ok"
"""


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """A browser without a window."""
    try:
        with headless_browser() as started:
            yield started
    except BrowserMissing as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="module")
def profiles(driver: Driver, stack: GriotStack) -> dict[str, str]:
    """Agents whose models take their time, or can do something. Nothing is started where there is
    no browser."""
    path = stack.directory / "profiles.toml"
    path.write_text(PROFILES, "utf-8")
    return {"AGENT_PROFILES": str(path), "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def worker(profiles: dict[str, str], stack: GriotStack) -> ServerProcess:
    """A worker for these agents."""
    return stack.worker(**profiles)


@pytest.fixture(scope="module")
def served(
    worker: ServerProcess, profiles: dict[str, str], stack: GriotStack
) -> tuple[ServerProcess, str]:
    """A gateway, which asks for no keys, and its address."""
    assert worker
    return stack.gateway(**profiles)


@pytest.fixture(scope="module")
def gateway(served: tuple[ServerProcess, str]) -> str:
    """The address of the gateway."""
    return served[1]


@pytest.fixture
def session_id() -> str:
    """A session of the test's own."""
    return f"browser-{uuid.uuid4()}"


@pytest.fixture
def new_tab(driver: Driver, gateway: str, session_id: str) -> Iterator[Callable[..., Tab]]:
    """Opens tabs on the test's session."""
    first = driver.current_window_handle
    opened: list[Tab] = []

    def open_one(agent: str = AGENT, session: str = session_id) -> Tab:
        opened.append(Tab(driver, f"{gateway}/chat#{agent}/{session}"))
        return opened[-1]

    yield open_one
    for tab in opened:
        tab.close()
    driver.switch_to.window(first)

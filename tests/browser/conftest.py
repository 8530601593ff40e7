"""Debian's chromium through selenium, and the live chat example with what it needs."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tests.e2e.conftest import griot_redis, griot_settings, logs, ollama, stack, valkey
from tests.support.browser import BrowserMissing, headless_browser, live_chat
from tests.support.tab import Driver, Tab

__all__ = ["griot_redis", "griot_settings", "logs", "ollama", "stack", "valkey"]


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """A browser without a window."""
    try:
        with headless_browser() as started:
            yield started
    except BrowserMissing as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="module")
def worker(driver: Driver, stack: GriotStack) -> ServerProcess:
    """A worker whose model takes its time. Nothing is started where there is no browser."""
    return stack.worker(OLLAMA_MODEL="slow-tokens:60x0.05s")


@pytest.fixture(scope="module")
def web(worker: ServerProcess, stack: GriotStack, logs: Path) -> Iterator[ServerProcess]:
    """The example, served as its docstring says."""
    with live_chat(stack, logs) as server:
        yield server


@pytest.fixture
def session_id() -> str:
    """A session of the test's own."""
    return f"browser-{uuid.uuid4()}"


@pytest.fixture
def new_tab(driver: Driver, web: ServerProcess, session_id: str) -> Iterator[Callable[[], Tab]]:
    """Opens tabs on the test's session."""
    first = driver.current_window_handle
    opened: list[Tab] = []

    def open_one() -> Tab:
        opened.append(Tab(driver, f"{web.name}/?agent=energy&session={session_id}"))
        return opened[-1]

    yield open_one
    for tab in opened:
        tab.close()
    driver.switch_to.window(first)

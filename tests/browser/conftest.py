"""Debian's chromium through selenium, and the live chat example with what it needs."""

import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tests.e2e.conftest import logs, ollama, stack, valkey
from tests.support.tab import Driver, Tab

__all__ = ["logs", "ollama", "stack", "valkey"]

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT_S = 30


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """A browser without a window."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="no selenium here: pip install selenium"
    )
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    chromedriver = shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        pytest.skip("no browser here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's does not work for root
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def worker(driver: Driver, stack: GriotStack) -> ServerProcess:
    """A worker whose model takes its time. Nothing is started where there is no browser."""
    return stack.worker(OLLAMA_MODEL="slow-tokens:60x0.05s")


@pytest.fixture(scope="module")
def web(worker: ServerProcess, stack: GriotStack, logs: Path) -> Iterator[ServerProcess]:
    """The example, served as its docstring says."""
    port = str(free_port())
    command = (sys.executable, "-m", "uvicorn", "examples.live_chat:app", "--port", port)
    with ServerProcess(
        (*command, "--timeout-graceful-shutdown", "1"),
        log_path=logs / "web.log",
        cwd=ROOT,
        env=stack.env,
        name=f"http://127.0.0.1:{port}",
    ) as server:
        server.wait_ready(lambda: "Uvicorn running" in server.log_text(), WAIT_S)
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

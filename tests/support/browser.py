"""Debian's chromium without a window, driven by selenium, and the live chat that it opens.

Chromium is no Python package: it is used where it is on the PATH. Selenium is imported with it.
"""

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tests.support.tab import Driver
from tests.support.web_users import WEB_USERS

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT_S = 30


class BrowserMissing(Exception):
    """Chromium or selenium is not installed; the message says how to install it."""


@contextmanager
def headless_browser() -> Iterator[Driver]:
    """A browser without a window, closed at the end. BrowserMissing where there is none."""
    try:
        webdriver = importlib.import_module("selenium.webdriver")
    except ModuleNotFoundError as exc:
        raise BrowserMissing("selenium is not installed: .venv/bin/pip install selenium") from exc
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    chromedriver = shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        raise BrowserMissing("chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own sandbox does not work for root.
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        yield started
    finally:
        started.quit()


@contextmanager
def live_chat(stack: GriotStack, logs: Path) -> Iterator[ServerProcess]:
    """The live chat example on a free port, served as its docstring says; `name` is its address."""
    port = str(free_port())
    command = (sys.executable, "-m", "uvicorn", "examples.live_chat:app", "--port", port)
    with ServerProcess(
        (*command, "--timeout-graceful-shutdown", "1"),
        log_path=logs / "web.log",
        cwd=ROOT,
        env={**stack.env, "WEB_USERS": WEB_USERS},
        name=f"http://127.0.0.1:{port}",
    ) as server:
        server.wait_ready(lambda: "Uvicorn running" in server.log_text(), WAIT_S)
        yield server

"""Debian's chromium without a window, driven by selenium.

Chromium is no Python package: it is used where it is on the PATH. Selenium is imported with it.
"""

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.tab import Driver

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage")


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
    for argument in (*ARGUMENTS, "--window-size=1280,900"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own sandbox does not work for root.
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        yield started
    finally:
        started.quit()


def look_as(driver: Driver, *, width: int, height: int, scheme: str, scale: float = 1) -> None:
    """The size of the window, and the colours that the reader's system asks for."""
    size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

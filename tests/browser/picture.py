"""Take docs/live-chat.png: the live chat example with one answer complete and one being written.

    python -m tests.browser.picture

Everything in it is real but the model: Valkey, a worker, the page in chromium. The stand-in for
Ollama makes up the replies. It needs what the browser tests need, chromium and selenium, and says
so where one is missing.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.support.browser import ROOT, BrowserMissing, headless_browser, live_chat
from tests.support.tab import Driver, Tab
from tests.support.waiting import wait_until

PICTURE = ROOT / "docs" / "live-chat.png"
SIZE = {"width": 880, "height": 620, "deviceScaleFactor": 1.5, "mobile": False}
FIRST = "What are the renewable energy targets for 2030?"
SECOND = "And which of them does the West African Power Pool already meet?"
WAITS = "Please answer in French."
LIVE = "slow-tokens:60x0.15s"
"""The model of the second answer: sixty words, slowly enough to be caught in the middle."""


def take(path: Path, directory: Path) -> None:
    """Run a conversation in the page and save what is seen. BrowserMissing without a browser."""
    with (
        headless_browser() as driver,
        ValkeyServer() as valkey,
        OllamaStandIn() as ollama,
        GriotStack(directory, redis_url=valkey.url(), ollama_url=ollama.url) as stack,
    ):
        stack.worker()
        with live_chat(stack, directory) as web:
            tab = Tab(driver, f"{web.name}/?agent=energy&session=summit-energy")
            prepare(driver)
            tab.say(FIRST)
            tab.until_answered()
            ollama.script("*", [LIVE])
            tab.say(SECOND)
            tab.until_words(12)
            tab.say(WAITS)
            wait_until(lambda: tab.shown("user", state="waits"), what="a message that waits")
            tab.until_words(24)
            tab.front().save_screenshot(str(path))


def prepare(driver: Driver) -> None:
    """The size of the picture, and the light colours."""
    features = [{"name": "prefers-color-scheme", "value": "light"}]
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SIZE)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def main() -> int:
    """Take the picture; exit status 1 where there is no browser."""
    parser = argparse.ArgumentParser(prog="tests.browser.picture", description=__doc__)
    parser.add_argument("--to", type=Path, default=PICTURE, help="default: docs/live-chat.png")
    path = parser.parse_args().to
    try:
        with tempfile.TemporaryDirectory(prefix="griot-picture-") as directory:
            take(path, Path(directory))
    except BrowserMissing as exc:
        sys.stderr.write(f"No picture was taken. {exc}\n")
        return 1
    sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

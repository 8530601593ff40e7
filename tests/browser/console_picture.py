"""Take docs/console.png, docs/console-dark.png and docs/console-phone.png: the page /console.

    python -m tests.browser.console_picture

Everything in them is real but the models: Valkey, a worker, maintenance and beat, the gateway, the
page in chromium. It takes half a minute, for its charts need some turns. It needs what the browser
tests need, and says so where that is missing.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import httpx

from sandbox.ollama import OllamaStandIn
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.browser.console_tab import ConsoleTab
from tests.support.browser import ROOT, BrowserMissing, headless_browser
from tests.support.tab import Driver
from tests.support.waiting import wait_until

DESKTOP = {"width": 1280, "height": 1900, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 390, "height": 1500, "deviceScaleFactor": 1.5, "mobile": True}
SHOTS = (
    ("console", DESKTOP, "light"),
    ("console-dark", DESKTOP, "dark"),
    ("console-phone", PHONE, "light"),
)
QUESTION = "What does the storage do tonight?"
PROFILES = """
[agents.energy]
model = "llama3.2"
quota = {jobs_per_minute = 120, tokens_per_day = 20000, jobs_at_once = 40}
[agents.supervisor]
model = "qwen3"
[agents.weather]
model = "gemma3"
"""
BEHAVIOUR = {
    "llama3.2": "slow-tokens:30x0.03s",
    "qwen3": "slow-tokens:900x0.08s",
    "gemma3": "bad-400",
}
SNAPSHOTS = 16
SETTINGS = {"MEMORY_STATS_EVERY": "1", "OLLAMA_NUM_PARALLEL": "3", "OLLAMA_MODEL": "llama3.2"}


def take(to: Path, directory: Path) -> list[Path]:
    """Let a deployment work, and save what its console shows. BrowserMissing without a browser."""
    profiles = directory / "profiles.toml"
    profiles.write_text(PROFILES, "utf-8")
    with (
        headless_browser() as driver,
        ValkeyServer() as valkey,
        OllamaStandIn() as ollama,
        GriotStack(
            directory,
            redis_url=valkey.url(),
            ollama_url=ollama.url,
            settings={**SETTINGS, "AGENT_PROFILES": str(profiles)},
        ) as stack,
    ):
        for model, behaves in BEHAVIOUR.items():
            ollama.script(model, [behaves] * 100)
        stack.worker()
        stack.maintenance()
        stack.beat()
        address = stack.gateway()[1]
        tab = ConsoleTab(driver, f"{address}/console")
        work(address, tab)
        return [shot(driver, to / f"{name}.png", size, scheme) for name, size, scheme in SHOTS]


def work(address: str, tab: ConsoleTab) -> None:
    """Say something in several sessions, again and again, until the charts have some points."""
    with httpx.Client(base_url=address, trust_env=False) as client:
        for number in range(5):
            say(client, "supervisor", f"plan-{number}")
        say(client, "supervisor", "plan-0")
        for number in range(3):
            say(client, "weather", f"forecast-{number}")
        for number in range(SNAPSHOTS):
            for session in range(1 + number % 3):
                say(client, "energy", f"household-{session}")
            least = snapshots(client) + 1
            wait_until(
                lambda most=least: snapshots(client) >= most,  # type: ignore[misc]  # bound now
                timeout_s=30,
                what="a snapshot",
            )
    # It draws its charts when it begins, and again after a while.
    tab.front().refresh()
    tab.until("household", within="#running")


def snapshots(client: httpx.Client) -> int:
    """How many points the chart of the memory has."""
    found = client.get("/v1/console", params={"slow": True}).json()
    return len(found["slow"]["series"]["memory"])


def say(client: httpx.Client, agent: str, conversation: str) -> None:
    """Send a message; nobody waits for its answer."""
    client.post(
        "/v1/responses",
        json={"model": agent, "input": QUESTION, "conversation": conversation, "background": True},
    ).raise_for_status()


def shot(driver: Driver, path: Path, size: Mapping[str, object], scheme: str) -> Path:
    """Save what is seen, in this size and these colours."""
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},  # colours that fade are no colours
    ]
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.save_screenshot(str(path))
    return path


def main() -> int:
    """Take the pictures; exit status 1 where there is no browser."""
    parser = argparse.ArgumentParser(prog="tests.browser.console_picture", description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "docs", help="the folder; default: docs")
    to = parser.parse_args().to
    try:
        with tempfile.TemporaryDirectory(prefix="griot-picture-") as directory:
            taken = take(to, Path(directory))
    except BrowserMissing as exc:
        sys.stderr.write(f"No picture was taken. {exc}\n")
        return 1
    for path in taken:
        sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

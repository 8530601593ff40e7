"""Take the pictures of the page /chat for the documents: docs/chat.png and its two sisters.

    python -m tests.browser.picture

Everything in them is real but the model: Valkey, a worker, a gateway, the page in chromium. The
stand-in for Ollama says what stands here. It needs what the browser tests need, chromium and
selenium, and says so where one is missing.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from sandbox.ollama import OllamaStandIn
from sandbox.ollama.scenarios import Scenario
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tests.support.browser import ROOT, BrowserMissing, headless_browser, look_as
from tests.support.tab import WAIT_S, Driver, Tab
from tests.support.waiting import wait_until

PLAIN = Scenario("said", is_marked=False)
OTHERS = ("How do interconnectors pay for themselves?", "Draft the agenda for Thursday")
FIRST = "What are the renewable energy targets for 2030?"
TARGETS = """ECOWAS members agreed on a **regional policy** for renewables. By 2030 they aim for:

| | Target |
|---|--:|
| Share of renewables in the electricity mix, large hydro included | 48 % |
| Share without large hydro | 19 % |
| People served by mini-grids and stand-alone systems | 25 % |

Each country has a plan of its own, so the figures differ from one to the next.
"""
SECOND = "And how would I compute a country's share?"
SHARE = """Divide what renewables generate by what is generated in all:

```python
def share(by_source: dict[str, float]) -> float:
    green = sum(by_source[name] for name in RENEWABLE)
    return green / sum(by_source.values())
```

Take yearly energy in GWh, not capacity in MW, for solar runs a fifth of the hours that hydro does.
"""
WAITS = "Please answer in French."
SIZES = {
    "chat": ((1180, 780), "light"),
    "chat-dark": ((1180, 780), "dark"),
    "chat-phone": ((390, 780), "light"),
}
PROFILE = '[agents.energy]\nmodel = "qwen2.5:0.5b"\n[agents.supervisor]\n'


def take(folder: Path, directory: Path) -> None:
    """Run a conversation in the page and save what is seen. BrowserMissing without a browser."""
    profiles = directory / "profiles.toml"
    profiles.write_text(PROFILE, "utf-8")
    settings = {"AGENT_PROFILES": str(profiles)}
    with (
        headless_browser() as driver,
        ValkeyServer() as valkey,
        OllamaStandIn() as ollama,
        GriotStack(directory, redis_url=valkey.url(), ollama_url=ollama.url) as stack,
    ):
        stack.worker(**settings)
        _, address = stack.gateway(**settings)
        for number, question in enumerate(OTHERS):
            tab = Tab(driver, f"{address}/chat#energy/other-{number}")
            tab.say(question)
            tab.until_answered()
        tab = Tab(driver, f"{address}/chat#energy/summit-energy")
        talk(tab, ollama)
        save(driver, tab, folder)


def talk(tab: Tab, ollama: OllamaStandIn) -> None:
    """One answer complete, one in the middle, one message that waits."""
    ollama.script_next(replace(PLAIN, text=TARGETS))
    tab.say(FIRST)
    tab.until_answered()
    ollama.script_next(replace(PLAIN, text=SHARE + " " * 400, token_s=0.12, first_s=0.1))
    tab.say(SECOND)
    tab.until_words(1)
    tab.say(WAITS)
    tab.until_noted("Waits for its turn: 1 before it.")
    tab.until_words(34)


def save(driver: Driver, tab: Tab, folder: Path) -> None:
    """The same in each size and colour."""
    for name, ((width, height), scheme) in SIZES.items():
        look_as(driver, width=width, height=height, scheme=scheme, scale=1.5)
        wait_until(
            lambda: tab.run("return document.activeElement.blur() || true"), timeout_s=WAIT_S,
            what="a page without a caret",
        )  # fmt: skip
        tab.run("document.getElementById('scroll').scrollTop = 1e6")
        tab.front().save_screenshot(str(folder / f"{name}.png"))


def main() -> int:
    """Take the pictures; exit status 1 where there is no browser."""
    parser = argparse.ArgumentParser(prog="tests.browser.picture", description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "docs", help="a folder; default: docs")
    folder = parser.parse_args().to
    try:
        with tempfile.TemporaryDirectory(prefix="griot-picture-") as directory:
            take(folder, Path(directory))
    except BrowserMissing as exc:
        sys.stderr.write(f"No picture was taken. {exc}\n")
        return 1
    for name in SIZES:
        path = folder / f"{name}.png"
        sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

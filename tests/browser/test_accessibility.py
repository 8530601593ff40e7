"""The page /chat for those who do not see it, use no mouse, or have a small screen: axe's rules."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from axe_selenium_python import Axe

from sandbox.ollama import OllamaStandIn
from sandbox.ollama.scenarios import Scenario
from tests.support.browser import look_as
from tests.support.machine import scaled
from tests.support.tab import ENTER, ESCAPE, TAB, WAIT_S, Driver, Tab
from tests.support.waiting import wait_until

NewTab = Callable[..., Tab]
RULES = ("wcag2a", "wcag2aa", "wcag21aa")
"""What axe 3.1 has them under; it never answers for a name that it does not know."""
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
ANSWER = """# Heading

A [link](https://example.org/), `code` and

```sql
select 1 from a_table_with_a_name_that_is_too_long_for_any_phone where that_is_so = true
```

| a | b | c |
|---|--:|---|
| one | 2 | three |
"""
COLOUR = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"


@pytest.fixture(autouse=True)
def usual_looks(driver: Driver) -> Iterator[None]:
    """The next test has the window as it was."""
    yield
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_suits_all_who_read_it(
    new_tab: NewTab, ollama: OllamaStandIn, tmp_path: Path, size: str, scheme: str
) -> None:
    """Of WCAG 2.1 A and AA axe finds nothing, with an answer, its receipt, one that is being
    written and a message that waits; nothing is cut off at the side; the colours are as asked."""
    tab = new_tab()
    width, height = SIZES[size]
    look_as(tab.front(), width=width, height=height, scheme=scheme)
    ollama.script_next(Scenario("prose", text=ANSWER))
    tab.say("What is the West African Power Pool? " + "W" * 90)
    tab.until_answered()
    tab.press("Receipt")
    tab.say("And ECOWAPP?")
    tab.until_words(3)
    tab.say("And what comes next?")
    tab.until_noted("Waits for its turn")
    assert tab.front().save_screenshot(str(tmp_path / f"{size}-{scheme}.png"))
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert tab.run(overflow) == 0
    assert all((part > 127) == (scheme == "light") for part in cast("list[int]", tab.run(COLOUR)))
    tab.driver.set_script_timeout(scaled(60))
    axe = Axe(tab.driver)
    axe.inject()
    options = {"runOnly": {"type": "tag", "values": list(RULES)}}
    found = cast("dict[str, list[dict[str, object]]]", axe.run(options=options))
    assert found["passes"], "axe has looked at nothing"
    assert found["violations"] == [], axe.report(found["violations"])


def test_the_keyboard_is_enough(new_tab: NewTab) -> None:
    """To write, stop, go through a turn's buttons, edit, give that up and begin anew: by Tab, Enter
    and Escape. The box keeps the focus after sending; the answer is told; all has a name."""
    tab = new_tab("quick")
    focus = "return document.activeElement.id || document.activeElement.textContent"
    assert tab.run(focus) == "text"
    tab.say("What is WAPP?")
    assert tab.run(focus) == "text"
    tab.until_answered()
    wait_until(
        lambda: tab.shown("assistant")[0] in tab.texts("#news")[0],
        timeout_s=WAIT_S,
        what="the news",
    )
    nameless = """const name = (one) =>
            one.textContent.trim() || one.ariaLabel || one.labels?.[0]?.textContent.trim();
        const all = document.querySelectorAll("button, a, textarea, select, summary");
        return Array.from(all).filter((one) => !name(one)).length"""
    assert tab.run(nameless) == 0
    tab.run("document.getElementById('scroll').focus()")
    seen = [str(until_next(tab, focus)) for _ in range(4)]
    assert seen == ["Edit", "Send again", "Copy", "Receipt"]
    tab.run("document.getElementById('scroll').focus()")
    until_next(tab, focus)
    press(tab, ENTER)
    assert (tab.box(), tab.run(focus)) == ("What is WAPP?", "text")
    press(tab, ESCAPE)
    assert (tab.box(), tab.is_visible("editing")) == ("", False)
    tab.run("document.getElementById('new').focus()")
    press(tab, ENTER)
    wait_until(lambda: tab.is_visible("empty"), timeout_s=WAIT_S, what="a new chat")
    assert tab.run(focus) == "text"


def test_on_a_phone_the_conversations_are_a_drawer(new_tab: NewTab, driver: Driver) -> None:
    """Which takes the focus, keeps it from what is behind, and gives it back."""
    tab = new_tab("quick")
    look_as(tab.front(), width=390, height=844, scheme="light")
    wait_until(lambda: not tab.is_visible("new"), timeout_s=WAIT_S, what="it to go")
    tab.click("#open-side")
    wait_until(lambda: tab.is_visible("new"), timeout_s=WAIT_S, what="it to come")
    assert tab.run("return document.getElementById('whole').inert") is True
    press(tab, ESCAPE)
    wait_until(lambda: not tab.is_visible("new"), timeout_s=WAIT_S, what="it to go again")
    assert tab.run("return document.activeElement.id") == "open-side"


def press(tab: Tab, key: str) -> None:
    """Press a key where the focus is."""
    cast("Driver", tab.front()).find_element("css selector", ":focus").send_keys(key)


def until_next(tab: Tab, focus: str) -> object:
    """What has the focus after Tab."""
    press(tab, TAB)
    return tab.run(focus)

"""The page of the live chat example for those who do not see it, or use no mouse: axe's rules."""

from collections.abc import Callable
from typing import cast

from axe_selenium_python import Axe

from tests.support.machine import scaled
from tests.support.tab import Driver, Tab

RULES = ("wcag2a", "wcag2aa", "wcag21aa")
"""What axe 3.1 has them under; it never answers for a name that it does not know."""


def test_axe_finds_nothing_to_complain_of(new_tab: Callable[[], Tab], driver: Driver) -> None:
    """Of WCAG 2.1 A and AA, with a question, an answer and one that is being written."""
    tab = new_tab()
    tab.say("What is WAPP?")
    tab.until_answered()
    tab.say("And ECOWAPP?")
    tab.until_words(3)
    tab.front()
    driver.set_script_timeout(scaled(60))
    axe = Axe(driver)
    axe.inject()
    options = {"runOnly": {"type": "tag", "values": list(RULES)}}
    found = cast("dict[str, list[dict[str, object]]]", axe.run(options=options))
    assert found["passes"], "axe has looked at nothing"
    assert found["violations"] == [], axe.report(found["violations"])

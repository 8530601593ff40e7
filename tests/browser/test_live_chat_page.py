"""The page of the live chat example, used as a person uses it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from tests.support.tab import WAIT_S, Tab
from tests.support.waiting import wait_until
from tests.support.web_users import USER

NewTab = Callable[[], Tab]
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}


def history(session_id: str) -> list[str]:
    """What is committed."""
    messages = get_redis_memory().get_conversation_history("energy", f"{USER}~{session_id}")
    return [str(message["content"]) for message in messages]


def test_two_tabs_on_one_session_stay_in_step(new_tab: NewTab, session_id: str) -> None:
    """Messages and answers of either appear in both while they are written."""
    left, right = new_tab(), new_tab()
    left.say("What is WAPP?")
    right.until_words(3)
    assert right.shown("user") == ["What is WAPP?"]
    right.say("And ECOWAPP?", "Briefly.")
    wait_until(
        lambda: left.shown("user") == ["What is WAPP?", "And ECOWAPP?\nBriefly."],
        timeout_s=WAIT_S,
        what="the other tab's message",
    )
    left.until_answered(2)
    right.until_answered(2)
    said = history(session_id)
    for tab in (left, right):
        assert [tab.shown("user"), tab.shown("assistant")] == [said[::2], said[1::2]]


def test_a_reload_in_mid_answer_continues(new_tab: NewTab, session_id: str) -> None:
    """The question and all text are there again, and the rest comes."""
    tab = new_tab()
    tab.say("What is WAPP?")
    tab.until_words(8)
    before = tab.words()[:-1]
    tab.reload()
    tab.until_words(len(before))
    assert tab.shown("user") == ["What is WAPP?"]
    assert tab.words()[: len(before)] == before
    tab.until_answered()
    assert [*tab.shown("user"), *tab.shown("assistant")] == history(session_id)


def test_stop_stops(new_tab: NewTab, session_id: str, ollama: OllamaStandIn) -> None:
    """In both tabs, and at the model; what is kept is what both show, also after a reload."""
    left, right = new_tab(), new_tab()
    left.say("Tell me all.")
    right.until_words(3)
    right.click("stop")
    for tab in (left, right):
        wait_until(lambda tab=tab: tab.notes() == ["Stopped."], timeout_s=WAIT_S, what="the end")  # type: ignore[misc]
        assert not tab.is_visible("stop")
    wait_until(lambda: ollama.stats.active == 0, timeout_s=WAIT_S, what="the model to stop")
    wait_until(lambda: left.shown("assistant") == right.shown("assistant"), what="the same text")
    kept = history(session_id)
    assert [*right.shown("user"), *right.shown("assistant")] == kept
    right.reload()
    wait_until(lambda: right.notes() == ["Stopped."], timeout_s=WAIT_S, what="the same again")
    assert [*right.shown("user"), *right.shown("assistant")] == kept


def test_an_empty_answer_is_seen(new_tab: NewTab, session_id: str, ollama: OllamaStandIn) -> None:
    """Not only heard from a screen reader; also after a reload, and the next answer is below it."""
    tab = new_tab()
    # Asked for once more: it may help.
    ollama.script("*", ["instant:0", "instant:0"])
    tab.say("What is WAPP?")
    for _ in range(2):
        wait_until(
            lambda: tab.notes() == ["The model gave no answer."], timeout_s=WAIT_S, what="the note"
        )
        tab.reload()
    tab.say("And ECOWAPP?")
    tab.until_words(1)
    assert tab.shown("user") == ["What is WAPP?", "And ECOWAPP?"]
    assert tab.notes() == ["The model gave no answer."]
    assert history(session_id)[:2] == ["What is WAPP?", ""]


def test_a_message_that_waits_can_be_withdrawn(new_tab: NewTab, session_id: str) -> None:
    """It is gone, never answered, and back in the box in which it was written."""
    tab = new_tab()
    tab.say("first")
    tab.until_words(1)
    tab.say("second")
    wait_until(lambda: tab.notes() == ["Waits for its turn.Withdraw"], what="the second")
    tab.front().find_element("css selector", ".waits button").click()
    wait_until(lambda: tab.shown("user") == ["first"], what="the second to go")
    assert tab.front().execute_script("return document.getElementById('text').value") == "second"
    tab.until_answered()
    assert history(session_id) == ["first", *tab.shown("assistant")]


def test_a_second_attempt_replaces_the_first(
    new_tab: NewTab, session_id: str, worker: ServerProcess
) -> None:
    """A worker is killed in mid-answer: the page says so and ends with the committed text."""
    tab = new_tab()
    tab.say("What is WAPP?")
    tab.until_words(5)
    worker.kill()
    worker.start()
    wait_until(
        lambda: tab.notes() == ["Begun again, attempt 2."], timeout_s=WAIT_S, what="attempt 2"
    )
    tab.until_answered()
    assert [*tab.shown("user"), *tab.shown("assistant")] == history(session_id)


def test_the_page_outlives_its_server(new_tab: NewTab, session_id: str, web: ServerProcess) -> None:
    """The web server is killed and comes back: nothing is missing, also not what was said while it
    was away."""
    tab = new_tab()
    tab.say("What is WAPP?")
    tab.until_words(3)
    web.kill()
    wait_until(lambda: tab.link() == "Reconnecting…", timeout_s=WAIT_S, what="the loss to be told")
    tab.say("Are you there?")
    wait_until(lambda: tab.shown("user", state="waits") != [], what="a message on its way")
    web.start()
    tab.until_live()
    tab.until_answered(2)
    said = history(session_id)
    assert [tab.shown("user"), tab.shown("assistant")] == [said[::2], said[1::2]]


def test_markup_is_shown_as_text(new_tab: NewTab, session_id: str) -> None:
    """What a person or a model writes runs nothing; the page breaks none of its own rules."""
    tab = new_tab()
    tab.driver.get_log("browser")
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    tab.say(markup)
    tab.until_answered()
    assert tab.shown("user") == [markup]
    assert markup in tab.shown("assistant")[0]
    assert tab.front().execute_script("return document.querySelectorAll('#log img').length") == 0
    assert tab.driver.get_log("browser") == []


def test_the_keyboard_is_enough(new_tab: NewTab) -> None:
    """The message box has the focus at the start and after sending; all controls have names."""
    tab = new_tab()
    focus = "return document.activeElement.id"
    assert tab.front().execute_script(focus) == "text"
    tab.say("What is WAPP?")
    tab.until_words(1)
    assert tab.front().execute_script(focus) == "text"
    nameless = """return Array.from(document.querySelectorAll("button, a, textarea"))
        .filter((e) => !(e.textContent.trim() || e.labels?.[0]?.textContent.trim())).length"""
    assert tab.front().execute_script(nameless) == 0
    tab.until_answered()
    news = "return document.querySelector('[aria-live=polite]').textContent"
    assert tab.shown("assistant")[0] in str(tab.front().execute_script(news))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_any_screen(new_tab: NewTab, size: str, scheme: str, tmp_path: Path) -> None:
    """Nothing is cut off at the side, also with a word that is too long; pictures are kept."""
    tab = new_tab()
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    tab.front().execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    tab.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    tab.say("What is the West African Power Pool? " + "W" * 90)
    tab.until_words(30)
    tab.say("And what comes next?")
    wait_until(lambda: tab.shown("user", state="waits"), what="a message that waits")
    assert tab.front().save_screenshot(str(tmp_path / f"{size}-{scheme}.png"))
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert tab.driver.execute_script(overflow) == 0
    colour = str(
        tab.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    )
    is_light = all(int(part) > 127 for part in re.findall(r"\d+", colour)[:3])
    assert is_light == (scheme == "light")

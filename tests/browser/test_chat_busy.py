"""Sending while an answer is written, with each value of `on_busy`."""

from collections.abc import Callable

import pytest

from memory import get_redis_memory
from tests.browser.conftest import AGENT
from tests.support.tab import WAIT_S, Tab
from tests.support.waiting import wait_until

NewTab = Callable[..., Tab]


def asked(session_id: str) -> list[str]:
    """The questions that are committed."""
    messages = get_redis_memory().get_conversation_history(AGENT, session_id)
    return [str(one["content"]) for one in messages if one["role"] == "user"]


@pytest.mark.parametrize(
    ("on_busy", "questions"),
    [
        ("enqueue", ["first", "waits", "last"]),
        ("merge", ["first", "waits\n\nlast"]),
        ("replace_pending", ["first", "last"]),
        ("interrupt", ["first", "waits", "last"]),
        ("rollback", ["last"]),
    ],
)
def test_what_becomes_of_the_others(
    new_tab: NewTab, session_id: str, on_busy: str, questions: list[str]
) -> None:
    """One message is answered and one waits when the last is sent: the page shows what is so."""
    tab = new_tab()
    tab.say("first")
    tab.until_words(2)
    tab.say("waits")
    tab.until_noted("Waits for its turn")
    tab.say("last", on_busy=on_busy)
    wait_until(lambda: tab.shown("user") == questions, timeout_s=WAIT_S, what="the questions")
    wait_until(lambda: not tab.is_visible("stop"), timeout_s=WAIT_S, what="the answers")
    assert asked(session_id) == tab.shown("user") == questions
    tab.reload()
    wait_until(lambda: tab.shown("user") == questions, timeout_s=WAIT_S, what="the same again")


def test_a_message_that_is_refused_says_why(new_tab: NewTab, session_id: str) -> None:
    """And goes back into the box, to be sent otherwise."""
    tab = new_tab()
    tab.say("first")
    tab.until_words(2)
    tab.say("second", on_busy="reject")
    tab.until_noted("Not sent.")
    tab.press("Back to the box")
    assert tab.box() == "second"
    assert tab.shown("user") == ["first"]
    tab.until_answered()
    assert asked(session_id) == ["first"]


def test_a_message_is_sent_again(new_tab: NewTab, session_id: str) -> None:
    """With one click, at the end of the conversation."""
    tab = new_tab("quick")
    tab.say("once")
    tab.until_answered()
    tab.press("Send again")
    tab.until_answered(2)
    assert tab.shown("user") == ["once", "once"]

"""Each type of event is seen in the page of the live chat, and none passes it by."""

import re
from collections.abc import Callable

import pytest

from examples.live_chat_page import PAGE
from memory import Event, EventType, Mailbox, events, get_redis_memory
from tasks import app
from tasks.submit.erase import erase
from tests.support.tab import WAIT_S, Driver, Tab
from tests.support.waiting import wait_until
from tests.support.web_users import USER

AGENT = "energy"
NOT_FOR_PAGES = {EventType.KEEP_ALIVE, EventType.STOP, EventType.UNKNOWN}
Tell = Callable[..., None]


@pytest.fixture
def session(session_id: str) -> str:
    """The session as the web server names it."""
    return f"{USER}~{session_id}"


@pytest.fixture(scope="module")
def worker(driver: Driver) -> None:
    """None: a test says itself what happens."""


@pytest.fixture
def tab(new_tab: Callable[[], Tab]) -> Tab:
    """The page with a message that waits for a worker."""
    tab = new_tab()
    tab.say("What is WAPP?")
    wait_until(lambda: tab.shown("user") == ["What is WAPP?"], timeout_s=WAIT_S, what="the message")
    return tab


@pytest.fixture
def tell(tab: Tab, session: str) -> Tell:
    """Writes an event of the message's job, as a worker does."""
    memory = get_redis_memory()
    mailbox = Mailbox.of(memory.keyspace, AGENT, session)

    def pending() -> list[str]:
        return memory.connection.run(mailbox.pending())

    wait_until(lambda: len(pending()) == 1, timeout_s=WAIT_S, what="the job")
    (job_id,) = pending()

    def publish(kind: EventType, text: str = "", **data: object) -> None:
        attempt = 0 if kind is EventType.QUEUED else 1
        event = Event(kind, job_id, attempt, text, data)  # type: ignore[arg-type]
        assert memory.connection.run(events.publish(mailbox.keys, [event], ttl_s=60))

    return publish


def test_the_page_listens_to_each_type() -> None:
    """One that is missing in its list would never be seen."""
    (listed,) = re.findall(r"for \(const type of \[(.*?)\]\)", PAGE)
    assert set(re.findall(r'"(\w+)"', listed)) == set(EventType) - NOT_FOR_PAGES


def test_what_a_message_waits_for_is_seen(tab: Tab, tell: Tell) -> None:
    """A slot of its model, the model's servers, the next attempt; also by who looks later."""
    for data, note in (
        ({"reason": "slot", "ahead": 2, "wait_s": 30.2}, "2 before you, about 31 s."),
        ({"reason": "slot", "ahead": 0, "wait_s": 9.5}, "you are next, about 10 s."),
        ({"reason": "servers_away", "servers": ["a"], "since": 1_700_000_000}, "servers are away"),
        (
            {"reason": "retry", "error": "the model failed", "wait_s": 2, "max_attempts": 5},
            "Attempt 1 of 5 failed: the model failed. It is tried again, about 2 s.",
        ),
    ):
        tell(EventType.WAITING, **data)
        until_noted(tab, note)
    tab.reload()
    until_noted(tab, "Attempt 1 of 5 failed")


def test_how_an_answer_comes_is_seen(tab: Tab, tell: Tell) -> None:
    """From the start through thoughts, tools and tokens to its end."""
    tell(EventType.QUEUED, position=0)
    tell(EventType.WAITING, reason="slot", ahead=0, wait_s=1)
    until_noted(tab, "you are next")
    tell(EventType.STARTED, model="m")
    wait_until(lambda: tab.notes() == [], timeout_s=WAIT_S, what="the wait to end")
    tell(EventType.THINKING, "hm")
    until_noted(tab, "Thinking…")
    tell(EventType.TOKEN, "Let me see")
    tab.until_words(3)
    tell(EventType.TOOL_CALL, name="look_up", arguments={})
    wait_until(lambda: tab.words() == [], timeout_s=WAIT_S, what="the tool's call")
    tell(EventType.TOKEN, "It is")
    tab.until_words(2)
    tell(EventType.DONE, "It is 42.")
    tab.until_answered()
    assert tab.shown("assistant") == ["It is 42."]


def test_that_there_is_no_answer_is_seen(tab: Tab, tell: Tell) -> None:
    """With the reason."""
    tell(EventType.WAITING, reason="slot", ahead=0)
    until_noted(tab, "you are next.")
    tell(EventType.FAILED, error="no such model")
    until_noted(tab, "No answer. no such model")


def test_that_a_session_is_erased_is_seen(tab: Tab, session: str) -> None:
    """Nothing of it is left on the page either."""
    erase(app, AGENT, session)
    wait_until(lambda: tab.shown("user") == [], timeout_s=WAIT_S, what="an empty page")


def until_noted(tab: Tab, note: str) -> None:
    """Wait until something is said below the messages."""
    wait_until(lambda: any(note in one for one in tab.notes()), timeout_s=WAIT_S, what=note)

"""The page /chat, used as a person uses it: sending, watching, stopping, losing the connection."""

from collections.abc import Callable

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from tests.browser.conftest import AGENT
from tests.support.tab import WAIT_S, Tab
from tests.support.waiting import wait_until

NewTab = Callable[..., Tab]


def history(session_id: str) -> list[str]:
    """What is committed."""
    messages = get_redis_memory().get_conversation_history(AGENT, session_id)
    return [str(message["content"]).strip() for message in messages]


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
    right.click("#stop")
    for tab in (left, right):
        tab.until_noted("Stopped.")
        assert not tab.is_visible("stop")
    wait_until(lambda: ollama.stats.active == 0, timeout_s=WAIT_S, what="the model to stop")
    kept = history(session_id)
    for tab in (left, right):
        wait_until(
            lambda tab=tab: [*tab.shown("user"), *tab.shown("assistant")] == kept,  # type: ignore[misc]
            timeout_s=WAIT_S,
            what="what is kept",
        )
    right.reload()
    right.until_noted("Stopped.")
    assert [*right.shown("user"), *right.shown("assistant")] == kept


def test_an_empty_answer_is_seen(new_tab: NewTab, session_id: str, ollama: OllamaStandIn) -> None:
    """Not only heard from a screen reader; also after a reload."""
    tab = new_tab()
    # Asked for once more: it may help.
    ollama.script("*", ["instant:0", "instant:0"])
    tab.say("What is WAPP?")
    tab.until_noted("The model gave no answer.")
    tab.reload()
    tab.until_noted("The model gave no answer.")
    assert history(session_id)[:2] == ["What is WAPP?", ""]


def test_a_message_that_waits_can_be_withdrawn(new_tab: NewTab, session_id: str) -> None:
    """Its place in the queue is said; it is gone, never answered, and back in the box."""
    tab = new_tab()
    tab.say("first")
    tab.until_words(1)
    tab.say("second")
    tab.until_noted("Waits for its turn: 1 before it.")
    tab.press("Withdraw")
    wait_until(lambda: tab.shown("user") == ["first"], timeout_s=WAIT_S, what="it to go")
    assert tab.box() == "second"
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
    tab.until_noted("Begun again, attempt 2.")
    tab.until_answered()
    assert [*tab.shown("user"), *tab.shown("assistant")] == history(session_id)


def test_the_page_outlives_its_gateway(
    new_tab: NewTab, session_id: str, served: tuple[ServerProcess, str]
) -> None:
    """It is killed and comes back: nothing is missing, also not what was said while it was away."""
    tab = new_tab()
    tab.say("What is WAPP?")
    tab.until_words(3)
    served[0].kill()
    wait_until(lambda: tab.link() != "Live", timeout_s=WAIT_S, what="the loss to be told")
    tab.say("Are you there?")
    tab.until_noted("Not sent yet: no connection.")
    served[0].start()
    tab.until_live()
    tab.until_answered(2)
    said = history(session_id)
    assert [tab.shown("user"), tab.shown("assistant")] == [said[::2], said[1::2]]


def test_a_conversation_is_found_again(new_tab: NewTab, session_id: str) -> None:
    """In the list, under its first question; a new chat is empty, and the way back is a click."""
    tab = new_tab("quick")
    tab.say("What is WAPP?")
    tab.until_answered()
    named = "#sessions a[aria-current]"
    wait_until(lambda: tab.texts(named) == ["What is WAPP?"], timeout_s=WAIT_S, what="its entry")
    tab.click("#new")
    wait_until(lambda: tab.shown("user") == [], timeout_s=WAIT_S, what="an empty page")
    wait_until(lambda: tab.is_visible("empty"), timeout_s=WAIT_S, what="the word of a new chat")
    tab.click(f'#sessions a[href="#quick/{session_id}"]')
    tab.until_answered()
    assert tab.shown("user") == ["What is WAPP?"]

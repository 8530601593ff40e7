"""PUBLISH: what an attempt says, while it holds the lease, once."""

import pytest

from memory.records.event import Event, EventType
from tests.support.mailbox.rig import LEASE_MS, TTL_S, Rig

pytest_plugins = ["tests.support.mailbox.fixtures"]


def said(text: str, kind: EventType = EventType.TOKEN) -> Event:
    """A piece of a reply."""
    return Event(kind, "j1", 1, text)


def texts(rig: Rig) -> list[str]:
    """What stands in the stream of the attempts."""
    return [event.text for event in rig.events() if event.type is EventType.TOKEN]


def test_the_holder_is_heard_in_its_order(rig: Rig) -> None:
    """Several events at a time."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    assert rig.say("t1", said("a"), said("b"), number=1)
    assert rig.say("t1", said("c"), number=2)
    assert texts(rig) == ["a", "b", "c"]


def test_a_stream_lives_on_while_something_is_said(rig: Rig) -> None:
    """Its life is given back to it once a tenth of that is over, and not with each piece."""
    events = rig.box.keys.events
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.ask("PEXPIRE", events, TTL_S * 890)
    assert rig.say("t1", said("a"), number=1)
    assert rig.ttl_ms(events) > TTL_S * 990
    rig.ask("PEXPIRE", events, TTL_S * 950)
    assert rig.say("t1", said("b"), number=2)
    assert TTL_S * 900 < rig.ttl_ms(events) <= TTL_S * 950
    rig.ask("PERSIST", events)
    assert rig.say("t1", said("c"), number=3)
    assert 0 < rig.ttl_ms(events) <= TTL_S * 1000


def test_a_repeat_after_a_lost_reply_doubles_nothing(rig: Rig) -> None:
    """The text of a turn that is cancelled and kept is made from the stream."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    for number, text in enumerate("abc", start=1):
        assert rig.say("t1", said(text), number=number)
        assert rig.say("t1", said(text), number=number)
    assert rig.say("t1", said("a"), number=1), "a very late one"
    assert texts(rig) == ["a", "b", "c"]


def test_the_numbers_of_another_attempt_begin_anew(rig: Rig) -> None:
    """Another process counts for itself; a token may begin with another."""
    rig.enqueue("j1")
    rig.acquire("j1", "t11")
    assert rig.say("t11", said("first"), number=70)
    rig.later(LEASE_MS)
    rig.acquire("j1", "t1")
    assert rig.say("t1", said("second"), number=1)
    assert texts(rig) == ["first", "second"]


@pytest.mark.parametrize("how", ["taken over", "failed", "committed", "cancelled"])
def test_who_holds_no_lease_is_not_heard(rig: Rig, how: str) -> None:
    """What it says would stand among the words of another, or behind the last event."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    if how == "taken over":
        rig.later(LEASE_MS)
        rig.acquire("j1", "t2")
    else:
        acts = {"failed": rig.fail, "committed": lambda t: rig.commit(t, "j1")}
        acts.get(how, lambda t: rig.cancel("j1", t))("t1")
    assert not rig.say("t1", said("late"))
    assert texts(rig) == []


def test_a_lease_that_ended_is_heard_while_nobody_took_over(rig: Rig) -> None:
    """As with COMMIT."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS * 2)
    assert rig.say("t1", said("slow"))


def test_what_is_said_of_no_attempt_makes_no_stream(rig: Rig) -> None:
    """That of an erased session stays away."""
    assert not rig.say("", said("", EventType.WAITING))
    assert rig.dump() == {}
    rig.enqueue("j1")
    assert rig.say("", said("", EventType.WAITING))
    assert rig.told() == [("queued", "j1"), ("waiting", "j1")]


def test_what_others_say_between_doubles_nothing(rig: Rig) -> None:
    """Jobs that are sent meanwhile stand behind what the attempt said."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    assert rig.say("t1", said("a"), said("b"), number=1)
    for number in range(2, 12):
        rig.enqueue(f"j{number}")
        assert rig.say("t1", said("a"), said("b"), number=1)
    assert texts(rig) == ["a", "b"]


def test_what_earlier_jobs_said_is_no_number_of_this_one(rig: Rig) -> None:
    """However far back it lies, and whatever came since."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    assert rig.say("t1", said("a"), number=70)
    rig.commit("t1", "j1")
    for number in range(2, 50):
        rig.enqueue(f"j{number}")
    rig.acquire("j2", "t2")
    assert rig.say("t2", Event(EventType.TOKEN, "j2", 1, "b"), number=1)
    assert texts(rig) == ["a", "b"]


@pytest.mark.parametrize("number", ["garbage", "t1", "t1 x", " ", "t1 99 3"])
def test_garbage_in_the_number_of_an_entry_silences_nobody(rig: Rig, number: str) -> None:
    """Numbers that are none count as none; so does an entry of an earlier version."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.ask("XADD", rig.box.keys.events, "*", "event", "{}", "by", number)
    rig.ask("XADD", rig.box.keys.events, "*", "event", "{}")
    assert rig.say("t1", said("a"), number=1)
    assert texts(rig) == ["a"]

"""The outage of a model server: who waits for it, who looks, and who is woken when it is back."""

import re

import pytest

from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.lifetimes import OUTAGE_TTL_MS
from memory.outages.outages import (
    FIRST_BATCH,
    FIRST_OF_MODEL,
    LOOK_LEASE_MS,
    LOOK_PAUSE_MS,
    MOST_AT_ONCE,
    QUIET_MS,
    QUIET_OF_MODEL_MS,
    UNWATCHED_MS,
    Look,
    LookOutcome,
    NotedOutcome,
    Outage,
    Parked,
    ServerOutage,
)
from memory.priority import Priority
from tests.support.memory_fixtures import Backend
from tests.support.outages.rig import SERVER, START_MS, OutageRig

HOUR_MS = 3_600_000
LATER, YOURS = Look(LookOutcome.LATER, True), Look(LookOutcome.LOOK, True)


@pytest.fixture
def rig(backend: Backend) -> OutageRig:
    """A server that is well, on the real and on the fake Redis in turn."""
    return OutageRig(backend.connection, Keyspace(backend.prefix))


def test_a_server_that_is_well_has_no_key(rig: OutageRig) -> None:
    """Nobody looks at it, and a look writes nothing."""
    assert rig.look().outcome is LookOutcome.NONE
    assert rig.note_look(answers=True).outcome is NotedOutcome.NONE
    assert rig.state() is None
    assert rig.stored() == []


def test_an_outage_begins_with_the_first_that_waits(rig: OutageRig) -> None:
    """The others are told since when it lasts; only the first makes it new."""
    assert rig.park("a/1") == Parked(START_MS, True)
    rig.later(5000)
    assert rig.park("a/2") == Parked(START_MS, False)
    assert rig.state() == ServerOutage(rig.outage, START_MS, True)
    assert rig.waiting() == 2


def test_a_session_waits_once(rig: OutageRig) -> None:
    """Its reply was lost, or it has waited before: it is the last then."""
    for name in ("a/1", "a/2", "a/1"):
        rig.park(name)
    assert rig.waiting() == 2
    assert rig.named(rig.note_look(answers=True)) == ["a/2", "a/1"]


def test_one_looks_at_a_time(rig: OutageRig) -> None:
    """The next after a pause, or when the first has had its time: it may have died."""
    rig.park("a/1")
    assert rig.look() == LATER
    rig.later(LOOK_PAUSE_MS)
    assert rig.look() == YOURS
    assert rig.look() == LATER
    rig.later(LOOK_LEASE_MS - 1)
    assert rig.look() == LATER
    rig.later(1)
    assert rig.look() == YOURS
    assert rig.note_look(answers=False).outcome is NotedOutcome.AWAY
    assert rig.look() == LATER
    rig.later(LOOK_PAUSE_MS)
    assert rig.look() == YOURS


def test_a_server_that_nobody_uses_any_more_is_looked_at_by_others(rig: OutageRig) -> None:
    """When those that use it have not done so for long: it was taken out of the settings."""
    rig.park("a/1")
    rig.later(LOOK_PAUSE_MS)
    assert rig.look(is_ours=False) == LATER
    rig.later(UNWATCHED_MS - 1)
    assert rig.look(is_ours=False) == LATER
    rig.later(1)
    assert rig.look(is_ours=False) == YOURS


def test_who_waits_is_woken_in_order_and_taken_off_then(rig: OutageRig) -> None:
    """One that nobody has taken off is woken again."""
    names = [f"a/{number}" for number in range(5)]
    for name in names:
        rig.park(name)
    for _ in range(2):
        noted = rig.note_look(answers=True)
        assert (noted.outcome, noted.since_ms) == (NotedOutcome.BACK, START_MS)
        assert rig.named(noted) == names
    assert rig.take_off(noted) == 5
    assert rig.waiting() == 0


def test_urgent_sessions_return_first(rig: OutageRig) -> None:
    """In a class in the order in which they were parked, also where the clock was set back; one
    that is parked again is the last of the class that it has now."""
    for number, priority in enumerate((*reversed(Priority), *Priority)):
        rig.park(f"{priority}/{number}", priority=priority)
    rig.later(-HOUR_MS)
    rig.park("interactive/9", priority=Priority.INTERACTIVE)
    rig.park("batch/0", priority=Priority.NORMAL)
    noted = rig.note_look(answers=True)
    assert rig.named(noted) == [
        "interactive/2", "interactive/3", "interactive/9",
        "normal/1", "normal/4", "batch/0", "batch/5",
    ]  # fmt: skip
    assert rig.take_off(noted) == 7
    assert rig.waiting() == 0


def test_no_outage_is_over_while_somebody_waits(rig: OutageRig) -> None:
    """However long the server has answered: who was to wake them has died."""
    rig.park("a/1")
    for _ in range(3):
        assert rig.named(rig.note_look(answers=True)) == ["a/1"]
        rig.later(2 * QUIET_MS)


def test_one_that_waits_again_meanwhile_stays(rig: OutageRig) -> None:
    """It was woken, and the server was away for it once more before it was taken off."""
    rig.park("a/1")
    noted = rig.note_look(answers=True)
    rig.later(1)
    rig.park("a/1")
    assert rig.take_off(noted) == 0
    assert rig.waiting() == 1


def test_many_are_woken_in_growing_batches(rig: OutageRig) -> None:
    """Twice as many each time, up to a bound: no stampede. A server that is gone begins anew."""
    for number in range(4 * MOST_AT_ONCE):
        rig.park(f"a/{number}")
    sizes = []
    while noted := rig.note_look(answers=True).to_wake:
        sizes.append(len(noted))
        rig.connection.run(rig.outage.take_off(noted))
    growing = [FIRST_BATCH * 2**step for step in range(6)]
    assert growing[-1] == MOST_AT_ONCE
    assert sizes[:6] == growing
    assert max(sizes) == MOST_AT_ONCE
    for number in range(2 * FIRST_BATCH):
        rig.park(f"a/{number}")
    assert len(rig.note_look(answers=True).to_wake) == FIRST_BATCH


def test_an_outage_is_over_when_the_server_has_answered_for_a_while(rig: OutageRig) -> None:
    """And nobody waits. How long it was away is told, and how many waited."""
    for name in ("a/1", "a/2"):
        rig.park(name)
    rig.park("a/1", is_first=False)
    rig.later(9000)
    rig.take_off(rig.note_look(answers=True))
    assert rig.state() == ServerOutage(rig.outage, START_MS, False)
    rig.later(QUIET_MS - 1)
    assert rig.note_look(answers=True).outcome is NotedOutcome.BACK
    rig.later(1)
    noted = rig.note_look(answers=True)
    assert (noted.outcome, noted.lasted_ms, noted.jobs) == (NotedOutcome.OVER, 9000, 2)
    assert rig.stored() == []


def test_a_job_that_waits_on_in_a_pause_is_counted_once(rig: OutageRig) -> None:
    """A sweeper woke it for nothing; another job of its session is counted, too."""
    for place_us in (5000, 5000, 5000, 7000, 7000):
        session = rig.keys_of("a/1")
        rig.connection.run(rig.outage.park(session, is_first=True, place_us=place_us))
    rig.take_off(rig.note_look(answers=True))
    rig.later(QUIET_MS)
    assert rig.note_look(answers=True).jobs == 2


def test_a_server_that_goes_up_and_down_has_one_outage(rig: OutageRig) -> None:
    """It answers a look and no call, or it goes again: nothing new."""
    rig.park("a/1")
    rig.later(1000)
    rig.take_off(rig.note_look(answers=True))
    assert rig.park("a/1") == Parked(START_MS, False)
    assert rig.state() == ServerOutage(rig.outage, START_MS, True)
    rig.note_look(answers=True)
    assert rig.note_look(answers=False).outcome is NotedOutcome.AWAY
    assert rig.state() == ServerOutage(rig.outage, START_MS, True)


def test_a_server_may_be_away_for_one_model(rig: OutageRig) -> None:
    """It is left alone as long as it asks, fewer are woken, and it must answer for longer."""
    rig.model = "llama3.2:1b"
    assert rig.outage == Outage.of(rig.keyspace, f"{SERVER} llama3.2:1b")
    assert Outage(rig.keyspace, SERVER) == Outage.of(rig.keyspace, SERVER)
    for number in range(9):
        rig.park(f"a/{number}", pause_ms=7000)
    assert rig.connection.run(Outage(rig.keyspace, SERVER).state()) is None
    rig.later(6999)
    assert rig.look() == LATER
    rig.later(1)
    assert rig.look() == YOURS
    noted = rig.note_look(answers=True)
    assert len(noted.to_wake) == FIRST_OF_MODEL
    rig.take_off(noted)
    rig.later(LOOK_PAUSE_MS)
    rig.park("a/0", pause_ms=7000)
    assert rig.look() == LATER
    rig.later(7000)
    while noted.to_wake:
        noted = rig.note_look(answers=True)
        rig.take_off(noted)
    rig.later(QUIET_OF_MODEL_MS - 1)
    assert rig.note_look(answers=True).outcome is NotedOutcome.BACK
    rig.later(1)
    assert rig.note_look(answers=True).outcome is NotedOutcome.OVER


@pytest.mark.parametrize("by_ms", [-HOUR_MS, HOUR_MS])
def test_the_servers_clock_is_set(rig: OutageRig, by_ms: int) -> None:
    """The next look comes as soon as ever, the order stays, and the outage ends."""
    rig.park("a/1")
    rig.later(LOOK_PAUSE_MS)
    assert rig.look() == YOURS
    rig.now_ms += by_ms
    rig.look()
    rig.later(LOOK_LEASE_MS)
    assert rig.look() == YOURS
    rig.park("a/2")
    noted = rig.note_look(answers=True)
    assert rig.named(noted) == ["a/1", "a/2"]
    rig.take_off(noted)
    rig.now_ms -= by_ms
    rig.later(QUIET_MS)
    assert rig.note_look(answers=True).outcome is NotedOutcome.OVER


def test_all_keys_go_by_themselves(rig: OutageRig) -> None:
    """A server that nobody looks at any more leaves nothing for ever."""
    rig.park("a/1")
    for key in rig.stored():
        ttl_ms = rig.ask("PTTL", key)
        assert isinstance(ttl_ms, int)
        assert 0 < ttl_ms <= OUTAGE_TTL_MS


def test_servers_have_outages_of_their_own(rig: OutageRig) -> None:
    """One being away says nothing of another."""
    rig.park("a/1")
    rig.server = "http://other:11434"
    assert rig.look().outcome is LookOutcome.NONE
    assert rig.park("a/1").is_new


@pytest.mark.parametrize("name", ["outage", "parked"])
def test_a_damaged_key_is_named_and_nothing_is_written(rig: OutageRig, name: str) -> None:
    """Another program has written it."""
    key = getattr(rig.outage.keys, name)
    rig.ask("SET", key, "x", "EX", 60)
    for act in (lambda: rig.park("a/1"), lambda: rig.note_look(answers=True)):
        with pytest.raises(CorruptData, match=re.escape(key)):
            act()
    assert rig.stored() == [key.encode()]

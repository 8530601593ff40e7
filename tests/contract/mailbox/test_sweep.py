"""SCHEDULE, DUE, SWEEP and SETTLE: a mailbox with work is never forgotten, an idle one is."""

from collections.abc import Callable

import pytest

from memory.mailbox import due_list
from memory.mailbox.due import IDLE_MS, DueEntry, shared_wait_ms
from memory.mailbox.outcomes import JobToWake, SweepOutcome
from tests.support.mailbox.rig import GAP_MS, GRACE_MS, LEASE_MS, START_MS, Rig, envelope_of

pytest_plugins = ["tests.support.mailbox.fixtures"]


def due_entries(rig: Rig) -> list[DueEntry]:
    """What a sweeper finds now."""
    return rig.connection.run(rig.due.entries(limit=100))


def shared_wait(rig: Rig) -> int:
    """How long wake-ups lie in the queue, as a sweeper learns it."""
    return shared_wait_ms(*rig.connection.run_all(*rig.due.shared_queue_wait()))


def look_after(rig: Rig) -> SweepOutcome:
    """What a sweeper does with its one due entry."""
    (entry,) = due_entries(rig)
    mailbox = rig.due.mailbox(entry)
    assert mailbox is not None
    swept = rig.connection.run(mailbox.sweep(GAP_MS))
    assert rig.connection.run(rig.due.settle(entry, swept, grace_ms=GRACE_MS))
    return swept.outcome


def test_a_waiting_head_gets_a_wake_up(rig: Rig) -> None:
    """With all that the publisher needs."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    swept = rig.sweep()
    assert swept.outcome is SweepOutcome.WAKE
    assert swept.head == JobToWake("j1", envelope_of("j1"))
    assert swept.wait_ms == GAP_MS


def test_an_empty_mailbox_is_idle_and_stays_without_keys(rig: Rig) -> None:
    """A question writes nothing."""
    assert rig.sweep().outcome is SweepOutcome.IDLE
    assert rig.dump() == {}


def test_a_running_head_is_busy_until_its_lease_ends(rig: Rig) -> None:
    """Then it is woken, as its worker has died."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(10_000)
    swept = rig.sweep()
    assert (swept.outcome, swept.wait_ms) == (SweepOutcome.BUSY, LEASE_MS - 10_000)
    rig.later(swept.wait_ms)
    assert rig.sweep().outcome is SweepOutcome.WAKE


def test_a_head_that_backs_off_waits(rig: Rig) -> None:
    """Until its time has come."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.fail("t1", delay_ms=700)
    swept = rig.sweep()
    assert (swept.outcome, swept.wait_ms) == (SweepOutcome.WAIT, 700)
    rig.later(700)
    assert rig.sweep().outcome is SweepOutcome.WAKE


def test_a_second_sweeper_does_not_wake_again(rig: Rig) -> None:
    """A repeat after a lost reply, too, costs one gap and no second message."""
    rig.enqueue("j1")
    rig.sweep()
    rig.later(1000)
    swept = rig.sweep()
    assert (swept.outcome, swept.wait_ms) == (SweepOutcome.WOKEN, GAP_MS - 1000)


def test_the_gap_doubles_while_wake_ups_are_lost(rig: Rig) -> None:
    """From the gap to 16 times it, so that a dead broker is not flooded."""
    rig.enqueue("j1")
    gaps = []
    for _ in range(7):
        swept = rig.sweep()
        assert swept.outcome is SweepOutcome.WAKE
        gaps.append(swept.wait_ms // GAP_MS)
        rig.later(swept.wait_ms - 1)
        assert rig.sweep().outcome is SweepOutcome.WOKEN
        rig.later(1)
    assert gaps == [1, 2, 4, 8, 16, 16, 16]


@pytest.mark.parametrize(("gap_ms", "most_ms"), [(60_000, 120_000), (300_000, 300_000)])
def test_no_gap_gets_longer_than_two_minutes(rig: Rig, gap_ms: int, most_ms: int) -> None:
    """Unless it is so from the beginning, by the settings."""
    rig.enqueue("j1")
    gaps_ms = []
    for _ in range(6):
        swept = rig.connection.run(rig.box.sweep(gap_ms))
        assert swept.outcome is SweepOutcome.WAKE
        gaps_ms.append(swept.wait_ms)
        rig.later(swept.wait_ms)
    assert gaps_ms == [gap_ms, *[most_ms] * 5]


ACTS: dict[str, Callable[[Rig], object]] = {
    "commit": lambda rig: rig.commit("t1", "j1"),
    "fail": lambda rig: rig.fail("t1"),
    "run": lambda rig: (rig.later(LEASE_MS), rig.acquire("j1", "t2"), rig.later(LEASE_MS)),
    "dead": lambda rig: (rig.later(LEASE_MS), rig.acquire("j1", "t2", max_attempts=1)),
    "discard": lambda rig: (rig.later(LEASE_MS), rig.cancel("j3")),
    "unpublished": lambda rig: (rig.later(LEASE_MS), rig.connection.run(rig.box.unwake())),
}


@pytest.mark.parametrize("act", ACTS)
def test_the_gap_starts_anew_after(rig: Rig, act: str) -> None:
    """Something happened: the next wake-up that is lost costs only one gap."""
    for job in ("j1", "j2", "j3"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.ask("HSET", rig.box.keys.lease, "wakes", 3, "woken_at", rig.now_ms + LEASE_MS)
    ACTS[act](rig)
    swept = rig.sweep()
    assert (swept.outcome, swept.wait_ms) == (SweepOutcome.WAKE, GAP_MS)


def test_a_look_never_puts_an_earlier_look_off(rig: Rig) -> None:
    """A sender that is busy all the time cannot starve the sweep; and each look at an entry that a
    sweeper may have read, a second before it is due and later, is a change."""
    scores = []
    for job in range(7):
        rig.enqueue(f"j{job}")
        rig.later(1000)
        scores.append(rig.due_at_ms())
    first = START_MS + GRACE_MS
    assert GRACE_MS == 5000
    assert scores == [first, first, first, first, first - 1, first - 2, first - 3]


def test_a_look_at_an_idle_mailbox_is_written_however_soon_it_comes(rig: Rig) -> None:
    """The second look at one that stays idle drops it, before what was sent meanwhile comes in."""
    for fraction in (0.0, 0.5):
        at_ms = START_MS + 2000 + fraction
        rig.ask("ZADD", rig.keyspace.due, at_ms, rig.box.keys.history)
        rig.connection.run(due_list.look(rig.keyspace.due, rig.box.keys.history, delay_ms=GRACE_MS))
        assert rig.due_at_ms() == (at_ms if not fraction else START_MS + 2000 - 1)


def test_a_look_comes_sooner_where_the_entry_was_far_away(rig: Rig) -> None:
    """And its score is an integer, also where the old one was not."""
    rig.ask("ZADD", rig.keyspace.due, f"{START_MS + IDLE_MS}.5", rig.box.keys.history)
    rig.enqueue("j1")
    assert rig.due_at_ms() == START_MS + GRACE_MS
    rig.ask("ZADD", rig.keyspace.due, f"{START_MS}.5", rig.box.keys.history)
    rig.enqueue("j1")
    assert rig.due_at_ms() == START_MS - 1


def test_only_what_is_due_is_found_the_longest_due_first(rig: Rig) -> None:
    """And no more than asked for."""
    other = rig.other("session-2")
    rig.enqueue("j1")
    other.later(1)
    other.enqueue("j1")
    rig.later(GRACE_MS - 1)
    assert due_entries(rig) == []
    rig.later(1)
    first = DueEntry(rig.box.keys.history, START_MS + GRACE_MS)
    assert due_entries(rig) == [first]
    rig.later(1)
    second = DueEntry(other.box.keys.history, START_MS + GRACE_MS + 1)
    assert due_entries(rig) == [first, second]
    assert rig.connection.run(rig.due.entries(limit=1)) == [first]


@pytest.mark.parametrize(
    ("state", "outcome", "next_look_ms"),
    [
        ("running", SweepOutcome.BUSY, LEASE_MS - GRACE_MS + GRACE_MS),
        ("backing off", SweepOutcome.WAIT, 60_000 + GRACE_MS),
        ("woken", SweepOutcome.WOKEN, GAP_MS),
        ("waiting", SweepOutcome.WAKE, GAP_MS),
        ("empty", SweepOutcome.IDLE, IDLE_MS + 0.5),
    ],
)
def test_after_a_sweep_the_next_look_is_set(
    rig: Rig, state: str, outcome: SweepOutcome, next_look_ms: float
) -> None:
    """Never later than the state of the mailbox allows."""
    rig.enqueue("j1")
    if state in ("running", "backing off"):
        rig.acquire("j1", "t1")
    rig.later(GRACE_MS)
    if state == "backing off":
        rig.connection.run(rig.box.fail("t1", delay_ms=60_000, refund=False, grace_ms=0)[1])
    if state == "woken":
        rig.sweep()
    if state == "empty":
        rig.cancel("j1")
    assert look_after(rig) is outcome
    assert rig.due_at_ms() == rig.now_ms + next_look_ms


def test_an_idle_mailbox_is_forgotten_at_the_second_look(rig: Rig) -> None:
    """Ten minutes later, and not before."""
    rig.enqueue("j1")
    rig.cancel("j1")
    rig.later(GRACE_MS)
    assert look_after(rig) is SweepOutcome.IDLE
    rig.later(IDLE_MS)
    assert due_entries(rig) == []
    rig.later(1)
    assert look_after(rig) is SweepOutcome.IDLE
    assert rig.due_at_ms() is None


def test_a_producer_that_paused_before_enqueue_is_not_forgotten(rig: Rig) -> None:
    """It sent SCHEDULE; two sweeps find the mailbox empty; then it sends ENQUEUE and dies."""
    look, enqueue = rig.box.enqueue("j1", b"", cap=9, grace_ms=GRACE_MS)
    rig.connection.run(look)
    rig.later(GRACE_MS)
    look_after(rig)
    assert due_entries(rig) == [], "the entry is put off, not dropped"
    rig.connection.run(enqueue)
    rig.later(IDLE_MS + 1)
    assert look_after(rig) is SweepOutcome.WAKE


def test_a_look_between_reading_and_settling_stands(rig: Rig) -> None:
    """Whatever the sweeper wanted to do with the entry, it has changed."""
    rig.ask("ZADD", rig.keyspace.due, f"{START_MS}.5", rig.box.keys.history)
    rig.later(1)
    (entry,) = due_entries(rig)
    swept = rig.sweep()
    rig.enqueue("j1")
    after = rig.due_at_ms()
    assert not rig.connection.run(rig.due.settle(entry, swept, grace_ms=GRACE_MS))
    assert rig.due_at_ms() == after


def test_settling_may_be_repeated(rig: Rig) -> None:
    """The second time the entry has changed: by the first."""
    rig.enqueue("j1")
    rig.later(GRACE_MS)
    (entry,) = due_entries(rig)
    settle = rig.due.settle(entry, rig.sweep(), grace_ms=GRACE_MS)
    assert rig.connection.run(settle)
    after = rig.due_at_ms()
    assert not rig.connection.run(settle)
    assert rig.due_at_ms() == after


def test_an_entry_is_not_dropped_unless_it_was_seen_idle_before(rig: Rig) -> None:
    """Only the fraction of the score says so."""
    rig.enqueue("j1")
    seen_ms = rig.due_at_ms()
    assert seen_ms is not None
    drop = due_list.settle(rig.keyspace.due, rig.box.keys.history, seen_ms=seen_ms, delay_ms=None)
    assert not rig.connection.run(drop)
    assert rig.due_at_ms() == seen_ms


def test_the_sweeper_never_lowers_a_score(rig: Rig) -> None:
    """Only SCHEDULE does."""
    rig.enqueue("j1")
    seen_ms = rig.due_at_ms()
    assert seen_ms is not None
    assert not rig.connection.run(rig.due.put_off(DueEntry(rig.box.keys.history, seen_ms), 100))
    assert rig.due_at_ms() == seen_ms


def test_an_entry_that_is_no_mailbox_is_forgotten(rig: Rig) -> None:
    """Someone else wrote it, perhaps bytes that are no text."""
    for stray in (f"{rig.keyspace.prefix}:history:only-one-part", b"\xff\x00"):
        rig.ask("ZADD", rig.keyspace.due, 1, stray)
        (entry,) = due_entries(rig)
        assert rig.due.mailbox(entry) is None
        assert rig.connection.run(rig.due.forget(entry))
        assert due_entries(rig) == []


def test_a_stray_mailbox_is_looked_at(rig: Rig) -> None:
    """Its entry was lost; one that is there is left alone."""
    rig.enqueue("j1")
    other = rig.other("with : and {brace}")
    other.enqueue("j1")
    at_ms = other.due_at_ms()
    rig.ask("ZREM", rig.keyspace.due, rig.box.keys.history)
    for one in (rig, other):
        rig.connection.run(rig.due.add_stray(one.box.keys.history))
    assert (rig.due_at_ms(), other.due_at_ms()) == (0, at_ms)


def test_the_wait_in_the_queue_is_shared_with_all_sweepers(rig: Rig) -> None:
    """For a minute; then nobody knows of any."""
    assert shared_wait(rig) == 0
    rig.connection.run(rig.due.share_queue_wait(7000))
    assert shared_wait(rig) == 7000
    assert 0 < rig.ttl_ms(rig.keyspace.queue_wait) <= 60_000


@pytest.mark.parametrize("life", [(), ("PX", 60_001 + 3_600_000)], ids=["for ever", "an hour"])
def test_a_shared_wait_that_lasts_too_long_is_not_believed(
    rig: Rig, life: tuple[str | int, ...]
) -> None:
    """The server's clock was set back since it was shared, or somebody else wrote it."""
    rig.ask("SET", rig.keyspace.queue_wait, 7000, *life)
    assert shared_wait(rig) == 0
    rig.ask("DEL", rig.keyspace.queue_wait)


@pytest.mark.parametrize("foreign", [b"soon", b"-7", b"1e9", b"\xff", b"9" * 5000, b""])
def test_a_shared_wait_that_is_no_number_is_none(rig: Rig, foreign: bytes) -> None:
    """However long it is."""
    rig.ask("SET", rig.keyspace.queue_wait, foreign, "PX", 60_000)
    assert shared_wait(rig) == 0

"""The server's clock is set, as in a fail-over to another host: no stored time is believed beyond
the length it was stored with, and nothing waits for an hour."""

from collections.abc import Callable

import pytest

from memory.mailbox import due_list
from memory.mailbox.due import DueEntry
from memory.mailbox.outcomes import AcquireOutcome, CleanOutcome, DiscardOutcome, SweepOutcome
from memory.records import history
from tests.support.mailbox.rig import GAP_MS, GRACE_MS, LEASE_MS, START_MS, Rig

pytest_plugins = ["tests.support.mailbox.fixtures"]

HOUR_MS = 3_600_000
SLOT_WAIT_MS = 120_000


@pytest.fixture(params=[HOUR_MS, 45_000], ids=["an hour", "less than a minute"])
def back_ms(request: pytest.FixtureRequest) -> int:
    """How far the clock is set back."""
    return int(request.param)


def due_entries(rig: Rig) -> list[DueEntry]:
    """What a sweeper finds now."""
    return rig.connection.run(rig.due.entries(limit=100))


def running(rig: Rig) -> None:
    """A worker has begun, and is never heard of again."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")


def renewed(rig: Rig) -> None:
    """It has renewed its lease before."""
    running(rig)
    rig.later(10_000)
    rig.renew("t1")


def backing_off(rig: Rig) -> None:
    """Its job waits for its next attempt."""
    running(rig)
    rig.fail("t1", delay_ms=LEASE_MS)


def waiting_for_slot(rig: Rig) -> None:
    """Its job waits for a slot of its model."""
    running(rig)
    calls = rig.box.fail(
        "t1", delay_ms=0, refund=True, slot_wait_ms=SLOT_WAIT_MS, grace_ms=GRACE_MS
    )
    rig.connection.run(calls[1])


def woken(rig: Rig) -> None:
    """Its wake-up is under way."""
    rig.enqueue("j1")
    rig.sweep()


STATES: dict[str, tuple[Callable[[Rig], None], SweepOutcome, int]] = {
    "running": (running, SweepOutcome.BUSY, LEASE_MS),
    "renewed": (renewed, SweepOutcome.BUSY, LEASE_MS),
    "backing off": (backing_off, SweepOutcome.WAIT, LEASE_MS),
    "waiting for a slot": (waiting_for_slot, SweepOutcome.WAIT, SLOT_WAIT_MS),
    "woken": (woken, SweepOutcome.WOKEN, GAP_MS),
}


@pytest.mark.parametrize("state", STATES)
def test_a_mailbox_waits_no_longer_than_without_the_jump(
    rig: Rig, state: str, back_ms: int
) -> None:
    """At most for the length that the time was stored with, counted from the first look."""
    arrange, outcome, most_ms = STATES[state]
    arrange(rig)
    rig.later(-back_ms)
    swept = rig.sweep()
    assert (swept.outcome, swept.wait_ms) == (outcome, most_ms)
    rig.later(most_ms - 1)
    assert (rig.sweep().outcome, rig.sweep().wait_ms) == (outcome, 1)
    rig.later(1)
    assert rig.sweep().outcome is SweepOutcome.WAKE
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.RUN


@pytest.mark.parametrize(
    ("arrange", "outcome"),
    [(running, AcquireOutcome.BUSY), (backing_off, AcquireOutcome.WAIT)],
)
def test_a_worker_that_asks_is_put_off_no_longer(
    rig: Rig, arrange: Callable[[Rig], None], outcome: AcquireOutcome, back_ms: int
) -> None:
    """Also where no sweeper has looked before it."""
    arrange(rig)
    rig.later(-back_ms)
    answer = rig.acquire("j1", "t2")
    assert (answer.outcome, answer.wait_ms) == (outcome, LEASE_MS)
    rig.later(LEASE_MS)
    assert rig.acquire("j1", "t3").outcome is AcquireOutcome.RUN


def test_a_job_whose_worker_died_before_the_jump_can_be_cancelled_after_a_lease(rig: Rig) -> None:
    """Whoever looks first has the lease end."""
    running(rig)
    rig.later(-HOUR_MS)
    assert rig.cancel("j1").outcome is DiscardOutcome.RUNNING
    rig.later(LEASE_MS)
    assert rig.cancel("j1").outcome is DiscardOutcome.DISCARDED


def test_a_stop_finds_no_worker_that_died_before_the_jump(rig: Rig) -> None:
    """A lease after it."""
    running(rig)
    rig.later(-HOUR_MS)
    stop = rig.box.stop("j1", "keep")  # type: ignore[arg-type]  # the text of the policy
    assert rig.connection.run(stop)
    rig.later(LEASE_MS)
    assert not rig.connection.run(stop)


def test_a_clean_up_waits_for_a_lease_from_before_the_jump_only_once(rig: Rig) -> None:
    """A lease without a job, as a damaged mailbox has it."""
    running(rig)
    rig.ask("DEL", rig.box.keys.queue)
    rig.later(-HOUR_MS)
    cleaned = rig.clean(0)
    assert (cleaned.outcome, cleaned.amount) == (CleanOutcome.BUSY, LEASE_MS)
    rig.later(LEASE_MS)
    assert rig.clean(0).outcome is not CleanOutcome.BUSY


def test_a_worker_that_lives_keeps_its_lease(rig: Rig, back_ms: int) -> None:
    """It renews as ever, and commits."""
    running(rig)
    rig.later(-back_ms)
    assert rig.renew("t1")
    rig.later(LEASE_MS - 1)
    assert rig.sweep().outcome is SweepOutcome.BUSY
    assert rig.commit("t1", "j1").outcome == "OK"


def test_a_lease_lasts_as_long_as_it_was_renewed_for(rig: Rig) -> None:
    """Not as long as it was taken for: a worker with other settings may have taken it."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1", lease_ms=1000)
    rig.renew("t1")
    rig.later(-HOUR_MS)
    assert rig.sweep().wait_ms == LEASE_MS


def test_after_a_jump_forward_a_lease_is_lost_and_nothing_else(rig: Rig) -> None:
    """The job runs again, and the worker that had it is refused."""
    running(rig)
    rig.later(HOUR_MS)
    assert rig.sweep().outcome is SweepOutcome.WAKE
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.RUN
    assert rig.commit("t1", "j1").outcome == "FENCED"
    assert rig.commit("t2", "j1").outcome == "OK"


def test_after_the_clock_was_set_back_every_mailbox_is_looked_at(rig: Rig, back_ms: int) -> None:
    """Once, however many sweepers look; the longest due is the first."""
    other = rig.other("session-2")
    other.enqueue("j1")
    rig.later(GRACE_MS + 500)
    rig.enqueue("j1")
    rig.later(-back_ms)
    found = [other.box.keys.history, rig.box.keys.history]
    for _ in range(3):
        assert [entry.history_key for entry in due_entries(rig)] == found
    assert (other.due_at_ms(), rig.due_at_ms()) == (rig.now_ms - 500, rig.now_ms)
    for entry in due_entries(rig):
        assert rig.connection.run(rig.due.put_off(entry, 1000))
    assert due_entries(rig) == []
    rig.later(1000)
    assert len(due_entries(rig)) == 2


def test_whoever_comes_first_moves_the_due_list(rig: Rig, back_ms: int) -> None:
    """A sender, or a sweeper in the middle of its round: what it notes stays as it notes it."""
    rig.enqueue("j1")
    rig.later(-back_ms)
    other = rig.other("session-2")
    other.enqueue("j1")
    assert (rig.due_at_ms(), other.due_at_ms()) == (rig.now_ms, rig.now_ms + GRACE_MS)
    rig.later(GRACE_MS)
    (first, _) = due_entries(rig)
    rig.later(-back_ms)
    assert not rig.connection.run(rig.due.put_off(first, 1000)), "it has changed: it moved"
    assert first.history_key in {entry.history_key for entry in due_entries(rig)}


def test_an_entry_that_was_seen_idle_stays_so_noted(rig: Rig) -> None:
    """It goes back with the clock, and need not be looked at before."""
    rig.ask("ZADD", rig.keyspace.due, f"{START_MS + 100}.5", rig.box.keys.history)
    assert due_entries(rig) == []
    for _ in range(2):
        rig.later(-HOUR_MS)
        assert due_entries(rig) == []
        assert rig.due_at_ms() == rig.now_ms + 100.5


def test_a_clock_that_trembles_moves_nothing(rig: Rig) -> None:
    """Less than a second is not worth it, however often."""
    rig.enqueue("j1")
    for _ in range(5):
        rig.later(-900)
        due_entries(rig)
        rig.later(900)
    assert rig.due_at_ms() == START_MS + GRACE_MS


def test_forward_and_back_again_is_as_if_nothing_was(rig: Rig) -> None:
    """What was noted in between goes back, too."""
    rig.enqueue("j1")
    rig.later(HOUR_MS)
    other = rig.other("session-2")
    other.enqueue("j1")
    rig.later(-HOUR_MS)
    assert len(due_entries(rig)) == 2


def test_the_note_of_the_time_is_no_mailbox(rig: Rig) -> None:
    """It is never due, not even after a jump forward, and is not counted."""
    rig.enqueue("j1")
    rig.later(1000 * HOUR_MS)
    assert [entry.history_key for entry in due_entries(rig)] == [rig.box.keys.history]
    assert rig.connection.run(due_list.size(rig.keyspace.due)) == 1


def test_a_sender_and_a_sweeper_learn_the_servers_time(rig: Rig) -> None:
    """From answers that they get anyway; no other script tells it."""
    told: list[int] = []
    for command in rig.box.enqueue("j1", b"", cap=9, grace_ms=GRACE_MS):
        rig.connection.run(due_list.timed(command, told.append))
    assert told == [rig.now_ms]
    rig.later(GRACE_MS)
    rig.connection.run(due_list.timed(rig.due.entries(limit=9), told.append))
    assert told == [rig.now_ms - GRACE_MS, rig.now_ms]


def test_a_write_after_the_jump_is_known_again_however_many_there_were(rig: Rig) -> None:
    """The thousand ids that are kept are the last thousand."""
    keys = rig.box.keys
    rig.connection.run_each([history.clear(keys, write_id=b"w%d" % n) for n in range(1000)])
    rig.later(-HOUR_MS)
    for write_id in (b"the last but one", b"the last"):
        rig.connection.run(history.clear(keys, write_id=write_id))
    newest = rig.ask("ZRANGE", keys.write_ids, -2, -1)
    assert newest == [b"the last but one", b"the last"]
    assert rig.ask("ZCARD", keys.write_ids) == 1000


@pytest.mark.parametrize("foreign", [b"9" * 15, b"1e300", b"inf", b"nan", b"soon", b"-5"])
@pytest.mark.parametrize("is_length_left", [True, False])
def test_a_time_that_somebody_else_wrote_is_not_believed_either(
    rig: Rig, foreign: bytes, is_length_left: bool
) -> None:
    """For a lease at most; without a length not at all, as COMMIT guards the history anyway."""
    running(rig)
    rig.ask("HSET", rig.box.keys.lease, "until", foreign, "not_before", foreign)
    rig.ask("HSET", rig.box.keys.lease, "slot_wait_until", foreign, "woken_at", foreign)
    if not is_length_left:
        rig.ask("HDEL", rig.box.keys.lease, "lease_ms")
    swept = rig.sweep()
    assert swept.wait_ms <= LEASE_MS
    rig.later(LEASE_MS)
    rig.sweep()
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.RUN

"""DELAY and RIPE: a job waits beside its mailbox until it is due, and is then taken in, once."""

import pytest

from memory import Housekeeping, index
from memory.lifetimes import DEDUPE_MS
from memory.mailbox import delayed, schedules
from memory.mailbox.delayed import delayed_sessions
from memory.mailbox.due import IDLE_MS
from memory.mailbox.intake import EnqueueOutcome, OnBusy
from memory.mailbox.outcomes import (
    AcquireOutcome,
    CleanOutcome,
    DiscardOutcome,
    SweepOutcome,
)
from tests.support.mailbox.rig import KEEP, TTL_S, Rig, envelope_of, turn_of

pytest_plugins = ["tests.support.mailbox.fixtures"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def test_a_delayed_job_is_no_head_until_it_is_due(rig: Rig) -> None:
    """Others of its session go on meanwhile, and it takes its place when it is taken in."""
    kept = rig.delay("later", HOUR_MS)
    assert (kept.outcome, kept.position) == (EnqueueOutcome.NEW, -1)
    assert rig.sweep().outcome is SweepOutcome.IDLE
    assert rig.acquire("later", "t1").outcome is AcquireOutcome.WAIT
    assert rig.enqueue("now").position == 0
    rig.acquire("now", "t1")
    rig.commit("t1", "now")
    rig.later(HOUR_MS)
    rig.enqueue("before")
    assert [one.job_id for one in rig.ripe().jobs] == ["later"]
    assert rig.take_in("later").position == 1
    assert rig.pending() == ["before", "later"]
    assert rig.delayed() == {}
    assert rig.told()[-1] == ("queued", "later")


def test_it_is_taken_in_once_however_often_it_is_sent(rig: Rig) -> None:
    """Before it is due a repeat changes nothing, its time too; afterwards it is pending or done."""
    rig.delay("later", HOUR_MS)
    before = rig.dump()
    assert rig.delay("later", 2 * HOUR_MS).outcome is EnqueueOutcome.PENDING
    for on_busy in OnBusy:
        again = rig.take_in("later", on_busy)
        assert (again.outcome, again.position) == (EnqueueOutcome.PENDING, -1)
    assert {key: before[key] for key in before if b"{" in key} == {
        key: one for key, one in rig.dump().items() if b"{" in key
    }
    rig.later(HOUR_MS)
    outcomes = [rig.take_in("later").outcome for _ in range(2)]
    assert outcomes == [EnqueueOutcome.NEW, EnqueueOutcome.PENDING]
    assert rig.delay("later", HOUR_MS).outcome is EnqueueOutcome.PENDING
    rig.acquire("later", "t1")
    rig.commit("t1", "later")
    assert rig.take_in("later").outcome is EnqueueOutcome.DONE
    assert rig.delay("later", HOUR_MS).outcome is EnqueueOutcome.DONE


def test_an_id_is_one_request_while_it_is_delayed(rig: Rig) -> None:
    """Another text under it is refused, and the id stays known for as long as the job waits."""
    rig.delay("later", 30 * DAY_MS)
    assert rig.take_in("later", text="another").outcome is EnqueueOutcome.CONFLICT
    pointer = rig.keyspace.job("later")
    assert rig.ttl_ms(pointer) > 30 * DAY_MS
    rig.later(30 * DAY_MS)
    rig.take_in("later")
    assert rig.ttl_ms(pointer) <= DEDUPE_MS


def test_the_bound_counts_delayed_jobs_when_one_is_sent_and_never_later(rig: Rig) -> None:
    """A job that was accepted is not refused when it is due; nor are others because it waits."""
    rig.enqueue("j1", cap=2)
    rig.delay("j2", 1000, cap=2)
    full = rig.delay("j3", 1000, cap=2)
    assert (full.outcome, full.pending, full.first) == (EnqueueOutcome.FULL, 2, "j1")
    assert rig.enqueue("j4", cap=2).outcome is EnqueueOutcome.NEW
    rig.later(1000)
    assert rig.take_in("j2", cap=2).outcome is EnqueueOutcome.NEW


@pytest.mark.parametrize(
    ("on_busy", "left"),
    [
        (OnBusy.INTERRUPT, ["runs", "waits", "later"]),
        (OnBusy.ROLLBACK, ["later"]),
        (OnBusy.REPLACE_PENDING, ["runs", "later"]),
        (OnBusy.MERGE, ["runs", "later"]),
    ],
)
def test_what_it_does_to_others_it_does_when_it_is_due(
    rig: Rig, on_busy: OnBusy, left: list[str]
) -> None:
    """And to no job that is delayed itself."""
    rig.delay("later", 1000, on_busy)
    rig.delay("last", HOUR_MS)
    rig.enqueue("runs")
    rig.acquire("runs", "t1")
    rig.take_in("waits")
    assert rig.pending() == ["runs", "waits"]
    rig.later(1000)
    rig.take_in("later", on_busy)
    assert rig.pending() == left
    assert list(rig.delayed()) == ["last"]


def test_a_cancelled_one_never_runs(rig: Rig) -> None:
    """It is marked, its end is in the outbox, and whoever brings it later is told so."""
    rig.delay("later", HOUR_MS)
    assert rig.cancel("later").outcome is DiscardOutcome.DISCARDED
    assert rig.told() == [("scheduled", "later"), ("cancelled", "later")]
    assert list(rig.ends()) == ["later"]
    rig.later(HOUR_MS)
    assert rig.ripe().jobs == ()
    assert rig.take_in("later").outcome is EnqueueOutcome.DONE
    assert rig.ask("EXISTS", rig.box.keys.jobs, rig.box.keys.delayed) == 0


def test_the_history_stays_as_long_as_a_delayed_job_needs_it(rig: Rig) -> None:
    """Neither its TTL nor clean-up removes it; when the last is over the TTL is back."""
    rig.enqueue("first")
    rig.acquire("first", "t1")
    rig.commit("t1", "first")
    history = rig.box.keys.history
    assert 0 < rig.ttl_ms(history) <= TTL_S * 1000
    rig.delay("later", 2 * DAY_MS)
    assert rig.ttl_ms(history) == -1
    rig.enqueue("second")
    rig.acquire("second", "t2")
    rig.commit("t2", "second", keep=KEEP)
    assert rig.ttl_ms(history) == -1
    rig.later(DAY_MS)
    assert rig.clean(0).outcome is CleanOutcome.PENDING
    rig.cancel("later")
    assert 0 < rig.ttl_ms(history) <= TTL_S * 1000
    assert rig.history() == [*turn_of("first"), *turn_of("second")]


def test_erasing_ends_what_is_delayed(rig: Rig) -> None:
    """No word of it stays, and it does not come back."""
    rig.delay("later", HOUR_MS)
    erased = rig.erase("w1")
    assert erased.jobs == 1
    assert [end.event.type.value for end in rig.ends().values()] == ["erased"]
    rig.later(HOUR_MS)
    assert rig.take_in("later").outcome is EnqueueOutcome.DONE
    assert rig.ask("EXISTS", rig.box.keys.jobs, rig.box.keys.delayed) == 0


def test_ripe_gives_the_longest_due_first_and_says_when_to_look_again(rig: Rig) -> None:
    """With the envelopes, as they lie there."""
    for job, wait_ms in (("c", 3000), ("a", 1000), ("b", 2000)):
        rig.delay(job, wait_ms)
    assert (rig.ripe().jobs, rig.ripe().wait_ms) == ((), 1000)
    rig.later(2500)
    ripe = rig.ripe()
    assert [(one.job_id, one.envelope) for one in ripe.jobs] == [
        (job, envelope_of(job)) for job in ("a", "b")
    ]
    assert ripe.wait_ms == 500
    rig.later(500)
    assert rig.ripe().wait_ms is None


def test_the_list_says_when_to_look_and_one_of_two_who_look_gets_the_entry(rig: Rig) -> None:
    """Who dies with it leaves it to another; a session without delayed jobs goes off the list."""
    waiting = delayed_sessions(rig.keyspace)
    rig.delay("later", 5000)
    assert rig.connection.run(waiting.entries(limit=9)) == []
    assert rig.connection.run(waiting.next_at_ms()) == rig.now_ms + 5000
    rig.later(5000)
    (entry,) = rig.connection.run(waiting.entries(limit=9))
    claims = [rig.connection.run(waiting.put_off(entry, 4000)) for _ in range(2)]
    assert claims == [True, False]
    assert rig.connection.run(waiting.entries(limit=9)) == []
    rig.later(4000)
    (entry,) = rig.connection.run(waiting.entries(limit=9))
    rig.cancel("later")
    for _ in range(2):
        assert rig.connection.run(waiting.leave(entry))
        rig.later(IDLE_MS + 1)
        entry = next(iter(rig.connection.run(waiting.entries(limit=9))), entry)
    assert rig.connection.run(waiting.next_at_ms()) is None


def test_a_job_tells_when_it_is_due(rig: Rig) -> None:
    """As long as it is delayed."""
    rig.delay("later", 5000)
    due = delayed.due_at_ms(rig.box.keys, "later")
    assert rig.connection.run(due) == rig.now_ms + 5000
    rig.later(5000)
    rig.take_in("later")
    assert rig.connection.run(due) is None


def test_delayed_jobs_and_schedules_that_no_list_leads_to_are_found(real_rig: Rig) -> None:
    """By the session index, as mailboxes are that the sweeper has lost."""
    rig = real_rig
    rig.delay("later", HOUR_MS)
    rig.connection.run(schedules.save(rig.box.keys, "s1", b"{}"))
    rig.connection.run_all(*index.touch(rig.keyspace, rig.agent_id, rig.session_id))
    rig.ask("DEL", rig.keyspace.delayed)
    assert Housekeeping(rig.connection, rig.keyspace).add_strays() == 2
    for waiting in (delayed_sessions(rig.keyspace), schedules.scheduled_sessions(rig.keyspace)):
        (entry,) = rig.connection.run(waiting.entries(limit=9))
        assert entry.history_key == rig.box.keys.history
    erased = rig.erase("w1")
    assert erased.jobs == 1
    assert rig.connection.run(schedules.every(rig.box.keys)) == []

"""COMMIT: a turn is recorded once, by the holder of the lease on the head."""

import pytest

from memory.lifetimes import DEDUPE_MS, RENEWED_MS
from memory.mailbox.outcomes import CommitOutcome, JobToWake
from tests.support.mailbox.rig import (
    GRACE_MS,
    LEASE_MS,
    START_MS,
    TTL_S,
    Rig,
    envelope_of,
    turn_of,
)

pytest_plugins = ["tests.support.mailbox.fixtures"]


def test_a_commit_records_the_turn_and_names_the_next(rig: Rig) -> None:
    """Both messages are in the history, and the job is out of the mailbox."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    committed = rig.commit("t1", "j1")
    assert committed.outcome is CommitOutcome.OK
    assert committed.next == JobToWake("j2", envelope_of("j2"))
    assert rig.history() == list(turn_of("j1"))
    assert rig.pending() == ["j2"]
    assert rig.ask("HEXISTS", rig.box.keys.jobs, "j1") == 0


def test_the_commit_of_the_last_job_names_nobody(rig: Rig) -> None:
    """The mailbox is empty, and its keys are gone."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    assert rig.commit("t1", "j1").next is None
    assert rig.ask("EXISTS", rig.box.keys.queue, rig.box.keys.jobs) == 0


def test_a_repeat_is_answered_already(rig: Rig) -> None:
    """The reply was lost: the turn is there once, and the next is named again."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    first = rig.commit("t1", "j1")
    repeat = rig.commit("t1", "j1")
    assert (repeat.outcome, repeat.next) == (CommitOutcome.ALREADY, first.next)
    assert rig.history() == list(turn_of("j1"))


def test_a_repeat_names_nobody_while_the_next_runs(rig: Rig) -> None:
    """Its holder names the one after it."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    rig.acquire("j2", "t2")
    repeat = rig.commit("t1", "j1")
    assert (repeat.outcome, repeat.next) == (CommitOutcome.ALREADY, None)
    assert rig.commit("t2", "j2").outcome is CommitOutcome.OK


@pytest.mark.parametrize("how", ["cancel", "bury"])
def test_a_discarded_job_is_gone_not_already(rig: Rig, how: str) -> None:
    """A cancelled job is never reported as a success."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    getattr(rig, how)("j1", "t1")
    committed = rig.commit("t1", "j1")
    assert committed.outcome is CommitOutcome.GONE
    assert committed.next == JobToWake("j2", envelope_of("j2"))
    assert rig.history() == []


def test_a_holder_that_was_replaced_is_fenced(rig: Rig) -> None:
    """It slept past its lease, and another works on the job."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS)
    rig.acquire("j1", "t2")
    before = rig.ask("HGETALL", rig.box.keys.lease)
    assert rig.commit("t1", "j1").outcome is CommitOutcome.FENCED
    assert rig.history() == []
    assert rig.ask("HGETALL", rig.box.keys.lease) == before
    assert rig.commit("t2", "j1").outcome is CommitOutcome.OK


@pytest.mark.parametrize("token", ["", "t2"])
def test_without_a_lease_nobody_commits(rig: Rig, token: str) -> None:
    """Not even with an empty token."""
    rig.enqueue("j1")
    assert rig.commit(token, "j1").outcome is CommitOutcome.FENCED
    assert rig.history() == []


def test_after_fail_the_token_is_worth_nothing(rig: Rig) -> None:
    """The attempt was given up."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.fail("t1")
    assert rig.commit("t1", "j1").outcome is CommitOutcome.FENCED


def test_the_token_of_one_job_does_not_commit_another(rig: Rig) -> None:
    """The lease is on a job, not on the mailbox."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    assert rig.commit("t1", "j2").outcome is CommitOutcome.FENCED
    assert rig.history() == []


def test_a_job_that_is_not_the_head_is_refused(rig: Rig) -> None:
    """The head-check of COMMIT, alone: the lease is forged, as ACQUIRE never gives it."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    until_ms = START_MS + LEASE_MS
    rig.ask(
        "HSET",
        rig.box.keys.lease,
        "token",
        "t2",
        "job",
        "j2",
        "until",
        until_ms,
        "lease_ms",
        LEASE_MS,
    )
    before = rig.dump()
    assert rig.commit("t2", "j2").outcome is CommitOutcome.REORDER
    assert {**rig.dump(), rig.keyspace.due.encode(): None} == {
        **before,
        rig.keyspace.due.encode(): None,
    }


def test_a_lease_that_ended_still_commits_while_nobody_took_over(rig: Rig) -> None:
    """The lease only saves model calls; nothing else changed the history."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS * 10)
    assert rig.commit("t1", "j1").outcome is CommitOutcome.OK


def test_only_the_last_messages_are_kept(rig: Rig) -> None:
    """Trimmed with the commit, at the limit and one over."""
    for job in ("j1", "j2", "j3"):
        rig.enqueue(job)
    for job, length in (("j1", 2), ("j2", 4), ("j3", 4)):
        rig.acquire(job, job)
        rig.commit(job, job, keep=4)
        assert rig.ask("LLEN", rig.box.keys.history) == length
    assert rig.history() == [*turn_of("j2"), *turn_of("j3")]


def test_the_next_job_starts_with_no_trace_of_the_last(rig: Rig) -> None:
    """Attempt, back-off and wake-ups belong to one job."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.fail("t1")
    rig.sweep()
    rig.acquire("j1", "t2")
    rig.commit("t2", "j1")
    assert rig.ask("HKEYS", rig.box.keys.lease) == [b"last", b"size"]


def test_a_commit_refreshes_the_ttls(rig: Rig) -> None:
    """The history lives for the session's time, the mark for the dedupe window."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.ask("RPUSH", rig.box.keys.history, b"{}")
    rig.commit("t1", "j1")
    assert TTL_S * 1000 - 60_000 < rig.ttl_ms(rig.box.keys.history) <= TTL_S * 1000
    for key in (rig.box.keys.done, rig.box.keys.lease):
        assert DEDUPE_MS < rig.ttl_ms(key) <= DEDUPE_MS + RENEWED_MS


def test_marks_are_forgotten_after_the_dedupe_window_and_not_before(rig: Rig) -> None:
    """Both those of committed and those of cancelled jobs, by the score's absolute value."""
    for job in ("committed", "cancelled", "last"):
        rig.enqueue(job)
    rig.acquire("committed", "t1")
    rig.commit("t1", "committed")
    rig.cancel("cancelled")
    rig.later(DEDUPE_MS - 1)
    rig.acquire("last", "t2")
    rig.commit("t2", "last")
    assert rig.ask("ZCARD", rig.box.keys.done) == 3
    rig.enqueue("one more")
    rig.acquire("one more", "t3")
    rig.later(1)
    rig.commit("t3", "one more")
    marks = rig.ask("ZRANGE", rig.box.keys.done, 0, -1)
    assert marks == [b"last", b"one more"]


def test_a_commit_has_the_mailbox_looked_at(rig: Rig) -> None:
    """A worker that dies before it publishes the next is noticed."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.ask("DEL", rig.keyspace.due)
    rig.later(1000)
    rig.commit("t1", "j1")
    assert rig.due_at_ms() == rig.now_ms + GRACE_MS


def test_the_committed_reply_is_found_by_the_jobs_id(rig: Rig) -> None:
    """A late message of a done job is answered with the reply that was recorded."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
        rig.acquire(job, job)
        rig.commit(job, job)
    rig.ask("RPUSH", rig.box.keys.history, b'not JSON, "job_id"', b'["job_id"]')
    assert rig.connection.run(rig.box.reply_of("j1")) == turn_of("j1")[1]
    assert rig.connection.run(rig.box.reply_of("j3")) is None
    assert rig.connection.run(rig.box.reply_of("j1", limit=4)) is None


def test_whether_a_job_is_committed_can_be_asked(rig: Rig) -> None:
    """True, False for one that was given up, None while nothing is decided."""
    for job in ("j1", "j2", "j3"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    rig.cancel("j2")
    answers = [rig.connection.run(rig.box.is_committed(job)) for job in ("j1", "j2", "j3")]
    assert answers == [True, False, None]

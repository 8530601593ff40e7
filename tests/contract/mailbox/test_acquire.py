"""ACQUIRE: the head of the mailbox runs once at a time, with the history before it."""

import pytest

from memory.lifetimes import DEDUPE_MS, RENEWED_MS
from memory.mailbox.intake import OnBusy
from memory.mailbox.outcomes import AcquireOutcome, JobToWake, StopPolicy
from memory.records.event import EventType
from tests.support.mailbox.rig import (
    GRACE_MS,
    LEASE_MS,
    MAX_ATTEMPTS,
    START_MS,
    Rig,
    envelope_of,
    turn_of,
)

pytest_plugins = ["tests.support.mailbox.fixtures"]


def test_the_head_runs_with_its_envelope_and_the_history(rig: Rig) -> None:
    """One answer has all that the turn is made from."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    acquired = rig.acquire("j2", "t2")
    assert acquired.outcome is AcquireOutcome.RUN
    assert acquired.attempt == 1
    assert acquired.seq_us == START_MS * 1000 + 1
    assert acquired.envelope == envelope_of("j2")
    assert acquired.history == turn_of("j1")


@pytest.mark.parametrize(("history_n", "expected"), [(0, 0), (1, 1), (3, 3), (100, 4)])
def test_at_most_history_n_messages_come_along(rig: Rig, history_n: int, expected: int) -> None:
    """The last ones, oldest first."""
    for job in ("j1", "j2", "j3"):
        rig.enqueue(job)
    for job in ("j1", "j2"):
        rig.acquire(job, job)
        rig.commit(job, job)
    acquired = rig.acquire("j3", "t3", history_n=history_n)
    assert acquired.history == (turn_of("j1") + turn_of("j2"))[4 - expected :]


def test_the_same_token_is_answered_run_again(rig: Rig) -> None:
    """A repeat after a lost reply, and no attempt is counted for it."""
    rig.enqueue("j1")
    first = rig.acquire("j1", "t1")
    rig.later(1000)
    assert rig.acquire("j1", "t1") == first
    rig.later(LEASE_MS - 1)
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.BUSY, "the repeat prolongs the lease"


def test_the_same_token_runs_again_after_its_lease_ended(rig: Rig) -> None:
    """Nobody else took the job, so its holder still is the holder."""
    rig.enqueue("j1")
    first = rig.acquire("j1", "t1", max_attempts=1)
    rig.later(LEASE_MS * 2)
    assert rig.acquire("j1", "t1", max_attempts=1) == first


def test_a_committed_job_is_done_and_names_no_other(rig: Rig) -> None:
    """The caller never publishes another: late messages would multiply without end."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    acquired = rig.acquire("j1", "t2")
    assert (acquired.outcome, acquired.next, acquired.head) == (AcquireOutcome.DONE, None, None)


@pytest.mark.parametrize("how", ["cancel", "bury"])
def test_a_discarded_job_is_gone_and_names_the_head(rig: Rig, how: str) -> None:
    """Without the mark a late wake-up would take the job in again."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    getattr(rig, how)("j1")
    acquired = rig.acquire("j1", "t1")
    assert acquired.outcome is AcquireOutcome.GONE
    assert acquired.next == JobToWake("j2", envelope_of("j2"))
    assert rig.pending() == ["j2"]


def test_gone_names_nobody_while_another_runs(rig: Rig) -> None:
    """The one that runs names the next when it is done."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.cancel("j2")
    rig.acquire("j1", "t1")
    acquired = rig.acquire("j2", "t2")
    assert (acquired.outcome, acquired.next) == (AcquireOutcome.GONE, None)


def test_a_job_that_nobody_knows_is_unknown(rig: Rig) -> None:
    """A wake-up brings no envelope to take it in by; a raw message is taken in before."""
    rig.enqueue("j1")
    acquired = rig.acquire("never sent", "t1")
    assert acquired.outcome is AcquireOutcome.UNKNOWN
    assert acquired.next == JobToWake("j1", envelope_of("j1"))
    assert rig.pending() == ["j1"]


@pytest.mark.parametrize("job", ["j1", "j2"])
def test_while_a_lease_lives_others_are_busy(rig: Rig, job: str) -> None:
    """For the running job and for one behind it; the holder publishes what comes next."""
    for name in ("j1", "j2"):
        rig.enqueue(name)
    rig.acquire("j1", "t1")
    rig.later(10_000)
    acquired = rig.acquire(job, "t2")
    assert (acquired.outcome, acquired.wait_ms) == (AcquireOutcome.BUSY, LEASE_MS - 10_000)


def test_a_job_behind_the_head_is_not_head(rig: Rig) -> None:
    """The head-check of ACQUIRE, alone: no lease lives, and yet the second may not run."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    before = rig.ask("HGETALL", rig.box.keys.lease)
    acquired = rig.acquire("j2", "t2")
    assert acquired.outcome is AcquireOutcome.NOT_HEAD
    assert acquired.head == JobToWake("j1", envelope_of("j1"))
    assert rig.ask("HGETALL", rig.box.keys.lease) == before


def test_a_lease_that_ended_is_taken_over(rig: Rig) -> None:
    """The attempt of the worker that died counts."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS)
    acquired = rig.acquire("j1", "t2")
    assert (acquired.outcome, acquired.attempt) == (AcquireOutcome.RUN, 2)


def test_a_job_that_backs_off_waits(rig: Rig) -> None:
    """Until the very millisecond that FAIL named."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.fail("t1", delay_ms=700)
    rig.later(699)
    acquired = rig.acquire("j1", "t2")
    assert (acquired.outcome, acquired.wait_ms) == (AcquireOutcome.WAIT, 1)
    rig.later(1)
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.RUN


def test_a_job_behind_one_that_backs_off_does_not_overtake(rig: Rig) -> None:
    """Order is kept through failures."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.fail("t1", delay_ms=60_000)
    assert rig.acquire("j2", "t2").outcome is AcquireOutcome.NOT_HEAD


def test_a_job_without_attempts_left_is_dead(rig: Rig) -> None:
    """It becomes a dead letter with its envelope, is marked done, and the next is named; its end
    is in the outbox."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert rig.acquire("j1", f"t{attempt}").attempt == attempt
        rig.later(LEASE_MS)
    acquired = rig.acquire("j1", "last")
    assert acquired.outcome is AcquireOutcome.DEAD
    assert acquired.next == JobToWake("j2", envelope_of("j2"))
    assert rig.pending() == ["j2"]
    assert rig.ask("HEXISTS", rig.box.keys.jobs, "j1") == 0
    assert rig.ask("LLEN", rig.box.keys.dead) == 1
    assert rig.ttl_ms(rig.box.keys.dead) > 0
    assert 0 < rig.ttl_ms(rig.box.keys.done) <= DEDUPE_MS + RENEWED_MS
    assert rig.ends()["j1"].event.type is EventType.FAILED
    repeat = rig.acquire("j1", "last")
    assert (repeat.outcome, repeat.next) == (AcquireOutcome.GONE, acquired.next)
    assert rig.acquire("j2", "t").attempt == 1, "the attempts of the dead job are not inherited"


@pytest.mark.parametrize("policy", StopPolicy)
def test_a_job_that_was_cancelled_in_its_last_attempt_runs_once_more(
    rig: Rig, policy: StopPolicy
) -> None:
    """Its holder died before it stopped: who runs it next ends it as was asked, and it is no dead
    letter."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1", max_attempts=1)
    assert rig.connection.run(rig.box.stop("j1", policy))
    rig.later(LEASE_MS)
    again = rig.acquire("j1", "t2", max_attempts=1)
    assert (again.outcome, again.stop, again.attempt) == (AcquireOutcome.RUN, policy, 2)
    assert rig.ask("EXISTS", rig.box.keys.dead) == 0


def test_a_job_that_an_interrupt_ends_in_its_last_attempt_runs_once_more(rig: Rig) -> None:
    """Its question is kept, as that of any other that was interrupted."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1", max_attempts=1)
    rig.take_in("j2", OnBusy.INTERRUPT)
    rig.later(LEASE_MS)
    again = rig.acquire("j1", "t2", max_attempts=1)
    assert (again.outcome, again.stop) == (AcquireOutcome.RUN, StopPolicy.KEEP)


def test_every_acquire_has_the_mailbox_looked_at(rig: Rig) -> None:
    """A worker that dies right after it is noticed."""
    rig.enqueue("j1")
    rig.later(60_000)
    rig.ask("DEL", rig.keyspace.due)
    rig.acquire("j1", "t1")
    assert rig.due_at_ms() == rig.now_ms + GRACE_MS


def test_a_pending_jobs_pointer_is_kept_alive(rig: Rig) -> None:
    """However long it waited, cancel still finds the job."""
    rig.enqueue("j1")
    rig.ask("PEXPIRE", rig.keyspace.job("j1"), 60_000)
    rig.acquire("j1", "t1")
    assert rig.ttl_ms(rig.keyspace.job("j1")) > 60_000

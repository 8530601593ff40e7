"""DISCARD: a job leaves the mailbox for good without a turn."""

import pytest

from memory.lifetimes import DEDUPE_MS, RENEWED_MS
from memory.mailbox.dead_letters import letters
from memory.mailbox.intake import EnqueueOutcome
from memory.mailbox.outcomes import AcquireOutcome, CommitOutcome, DiscardOutcome, JobToWake
from memory.records.event import EventType
from tests.support.mailbox.rig import GRACE_MS, LEASE_MS, Rig, envelope_of

pytest_plugins = ["tests.support.mailbox.fixtures"]


def test_a_waiting_job_is_cancelled(rig: Rig) -> None:
    """It is out of the mailbox, and leaves no dead letter."""
    for job in ("j1", "j2", "j3"):
        rig.enqueue(job)
    discarded = rig.cancel("j2")
    assert discarded.outcome is DiscardOutcome.DISCARDED
    assert rig.pending() == ["j1", "j3"]
    assert rig.ask("HEXISTS", rig.box.keys.jobs, "j2") == 0
    assert rig.ask("EXISTS", rig.box.keys.dead) == 0


def test_when_the_head_is_cancelled_the_next_is_named(rig: Rig) -> None:
    """Nobody else would publish it."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    assert rig.cancel("j1").next == JobToWake("j2", envelope_of("j2"))


def test_the_last_job_leaves_nobody_to_name(rig: Rig) -> None:
    """The mailbox is empty."""
    rig.enqueue("j1")
    assert rig.cancel("j1").next is None


def test_a_job_behind_a_running_one_is_cancelled_at_once(rig: Rig) -> None:
    """The running one keeps its lease and will name the next."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    discarded = rig.cancel("j2")
    assert (discarded.outcome, discarded.next) == (DiscardOutcome.DISCARDED, None)
    assert rig.commit("t1", "j1").outcome is CommitOutcome.OK


def test_a_running_job_is_not_cancelled_by_others(rig: Rig) -> None:
    """Its holder decides."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    before = rig.ask("HGETALL", rig.box.keys.lease)
    assert rig.cancel("j1").outcome is DiscardOutcome.RUNNING
    assert rig.pending() == ["j1"]
    assert rig.ask("HGETALL", rig.box.keys.lease) == before


def test_a_job_whose_lease_ended_is_cancelled(rig: Rig) -> None:
    """Its late holder is told so when it commits."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS)
    assert rig.cancel("j1").outcome is DiscardOutcome.DISCARDED
    assert rig.commit("t1", "j1").outcome is CommitOutcome.GONE
    assert not rig.renew("t1")


def test_the_holder_discards_its_own_job(rig: Rig) -> None:
    """A refusal of the model: dead letter at once, and the next job runs."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    discarded = rig.bury("j1", "t1", reason="no such model")
    assert discarded.outcome is DiscardOutcome.DISCARDED
    assert discarded.next == JobToWake("j2", envelope_of("j2"))
    letter = rig.connection.run(letters(rig.box)).letters[0]
    assert (letter.job_id, letter.reason, letter.attempts) == ("j1", "no such model", 1)
    acquired = rig.acquire("j2", "t2")
    assert (acquired.outcome, acquired.attempt) == (AcquireOutcome.RUN, 1)


def test_a_job_that_fails_for_good_leaves_no_letter(rig: Rig) -> None:
    """It has expired: nobody is to send it again. The next job runs."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    discarded = rig.give_up("j1", "t1", reason="expired")
    assert discarded.outcome is DiscardOutcome.DISCARDED
    assert discarded.next == JobToWake("j2", envelope_of("j2"))
    assert rig.ask("EXISTS", rig.box.keys.dead) == 0
    assert rig.ends()["j1"].event.type is EventType.FAILED
    assert rig.history() == []
    assert rig.acquire("j2", "t2").attempt == 1


def test_a_stale_holder_discards_nothing(rig: Rig) -> None:
    """Another works on the job by now."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS)
    rig.acquire("j1", "t2")
    assert rig.bury("j1", "t1").outcome is DiscardOutcome.RUNNING
    assert rig.renew("t2")
    assert rig.ask("EXISTS", rig.box.keys.dead) == 0


def test_a_stale_token_discards_nothing_even_where_no_lease_lives(rig: Rig) -> None:
    """The job may be waiting for its next attempt."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.fail("t1")
    assert rig.bury("j1", "t1").outcome is DiscardOutcome.RUNNING
    assert rig.pending() == ["j1"]


def test_the_token_of_one_job_does_not_discard_another(rig: Rig) -> None:
    """A lease is on one job."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    assert rig.bury("j2", "t1").outcome is DiscardOutcome.RUNNING
    assert rig.pending() == ["j1", "j2"]


@pytest.mark.parametrize("how", ["cancel", "bury", "give_up"])
def test_a_repeat_is_gone_and_names_the_next_again(rig: Rig, how: str) -> None:
    """The reply was lost: nothing is doubled, and the next is not forgotten."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    first = getattr(rig, how)("j1", "t1")
    before = rig.ask("LLEN", rig.box.keys.dead)
    repeat = getattr(rig, how)("j1", "t1")
    assert (repeat.outcome, repeat.next) == (DiscardOutcome.GONE, first.next)
    assert rig.ask("LLEN", rig.box.keys.dead) == before


def test_a_committed_job_cannot_be_discarded(rig: Rig) -> None:
    """It came too late; the turn stays."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    assert rig.cancel("j1").outcome is DiscardOutcome.DONE
    assert rig.enqueue("j1").is_committed


def test_a_job_that_is_still_on_its_way_is_cancelled(rig: Rig) -> None:
    """Its producer paused before ENQUEUE, or its raw message is still in the queue: it is refused
    whenever it comes, and its result is stored."""
    assert rig.cancel("j1").outcome is DiscardOutcome.DISCARDED
    assert rig.enqueue("j1").outcome is EnqueueOutcome.DONE
    assert rig.acquire("j1", "t1").outcome is AcquireOutcome.GONE
    assert rig.ends()["j1"].event.type is EventType.CANCELLED
    assert rig.pending() == []


def test_discarding_a_job_that_backs_off_frees_the_next(rig: Rig) -> None:
    """Its back-off is not the next job's."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.fail("t1", delay_ms=60_000)
    rig.cancel("j1")
    assert rig.acquire("j2", "t2").outcome is AcquireOutcome.RUN


def test_cancelling_a_job_behind_keeps_the_back_off_of_the_head(rig: Rig) -> None:
    """And its attempts."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.fail("t1", delay_ms=1000)
    rig.cancel("j2")
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.WAIT
    rig.later(1000)
    assert rig.acquire("j1", "t2").attempt == 2


def test_a_discard_has_the_mailbox_looked_at_and_keeps_its_mark(rig: Rig) -> None:
    """A caller that dies before it publishes the next is noticed."""
    rig.enqueue("j1")
    rig.ask("DEL", rig.keyspace.due)
    rig.cancel("j1")
    assert rig.due_at_ms() == rig.now_ms + GRACE_MS
    assert DEDUPE_MS < rig.ttl_ms(rig.box.keys.done) <= DEDUPE_MS + RENEWED_MS

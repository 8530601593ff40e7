"""CLEAN: a stale conversation is deleted, and never one with work."""

from memory.mailbox.intake import EnqueueOutcome
from memory.mailbox.outcomes import AcquireOutcome, CleanOutcome
from tests.support.mailbox.rig import LEASE_MS, Rig

pytest_plugins = ["tests.support.mailbox.fixtures"]


def have_a_conversation(rig: Rig, job: str = "j1") -> None:
    """One turn, and an event."""
    rig.enqueue(job)
    rig.acquire(job, job)
    rig.commit(job, job)
    rig.ask("XADD", rig.box.keys.events, "*", "type", "done")
    rig.ask("EXPIRE", rig.box.keys.events, 3600)


def test_a_stale_conversation_is_deleted(rig: Rig) -> None:
    """Its history and its events."""
    have_a_conversation(rig)
    rig.later(60_000)
    cleaned = rig.clean(0)
    assert (cleaned.outcome, cleaned.amount) == (CleanOutcome.DELETED, 2)
    assert rig.ask("EXISTS", rig.box.keys.history, rig.box.keys.events) == 0


def test_a_deleted_conversation_still_knows_its_done_jobs(rig: Rig) -> None:
    """A late message of one runs nothing."""
    have_a_conversation(rig)
    rig.later(60_000)
    rig.clean(0)
    assert rig.enqueue("j1").outcome is EnqueueOutcome.DONE
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.DONE


def test_a_session_with_work_is_left_alone(rig: Rig) -> None:
    """The same slot and one script: no job can come in between."""
    have_a_conversation(rig)
    rig.enqueue("j2")
    rig.later(10**9)
    before = rig.dump()
    cleaned = rig.clean(0)
    assert (cleaned.outcome, cleaned.amount) == (CleanOutcome.PENDING, 1)
    assert rig.dump() == before


def test_a_session_with_a_lease_is_left_alone(rig: Rig) -> None:
    """Whoever holds one works on the history, even if the queue were lost."""
    have_a_conversation(rig)
    rig.enqueue("j2")
    rig.acquire("j2", "t2")
    rig.ask("DEL", rig.box.keys.queue, rig.box.keys.jobs)
    cleaned = rig.clean(0)
    assert (cleaned.outcome, cleaned.amount) == (CleanOutcome.BUSY, LEASE_MS)
    rig.later(LEASE_MS)
    assert rig.clean(0).outcome is CleanOutcome.DELETED


def test_a_session_that_was_used_is_fresh(rig: Rig) -> None:
    """By its history's last access, and by its last job."""
    have_a_conversation(rig)
    rig.later(60_000)
    cleaned = rig.clean(50_000)
    assert cleaned.outcome is CleanOutcome.FRESH
    assert 0 <= cleaned.amount < 50_000
    rig.ask("DEL", rig.box.keys.history)
    cleaned = rig.clean(60_001)
    assert (cleaned.outcome, cleaned.amount) == (CleanOutcome.FRESH, 60_000)
    assert rig.clean(60_000).outcome is CleanOutcome.DELETED


def test_a_session_that_never_was_is_deleted_without_a_trace(rig: Rig) -> None:
    """A repeat, too: no key is made by asking."""
    cleaned = rig.clean(1)
    assert (cleaned.outcome, cleaned.amount) == (CleanOutcome.DELETED, 0)
    assert rig.dump() == {}

"""RENEW and FAIL: a lease is prolonged, or given back with the job in its place."""

import pytest

from memory.lifetimes import DEDUPE_MS, RENEWED_MS
from memory.mailbox.outcomes import AcquireOutcome
from tests.support.mailbox.rig import GRACE_MS, LEASE_MS, MAX_ATTEMPTS, Rig

pytest_plugins = ["tests.support.mailbox.fixtures"]


def test_renew_prolongs_the_lease(rig: Rig) -> None:
    """From now on, not from its old end."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS - 1)
    assert rig.renew("t1")
    rig.later(LEASE_MS - 1)
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.BUSY
    rig.later(1)
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.RUN


def test_renew_may_be_repeated(rig: Rig) -> None:
    """A repeat changes nothing."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(1000)
    rig.renew("t1")
    before = rig.dump()
    assert rig.renew("t1")
    assert rig.dump() == before


def test_a_lease_that_ended_is_renewed_while_nobody_took_over(rig: Rig) -> None:
    """A worker that was only slow keeps its job."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS * 2)
    assert rig.renew("t1")
    assert rig.acquire("j1", "t2").outcome is AcquireOutcome.BUSY


def test_a_lease_that_was_taken_over_is_lost(rig: Rig) -> None:
    """Its old holder stops its stream, and the new one is not disturbed."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS)
    rig.acquire("j1", "t2")
    before = rig.dump()
    assert not rig.renew("t1")
    assert rig.dump() == before


@pytest.mark.parametrize("token", ["t1", ""])
def test_there_is_nothing_to_renew_without_a_lease(rig: Rig, token: str) -> None:
    """After a commit, and for an empty token."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.commit("t1", "j1")
    assert not rig.renew(token)


def test_renewing_a_mailbox_that_never_was_leaves_no_key(rig: Rig) -> None:
    """A question writes nothing."""
    assert not rig.renew("t1")
    assert rig.dump() == {}


def test_a_failed_job_keeps_its_place_and_its_attempts(rig: Rig) -> None:
    """Later jobs wait behind it."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    assert rig.fail("t1", delay_ms=0)
    assert rig.pending() == ["j1", "j2"]
    acquired = rig.acquire("j1", "t2")
    assert (acquired.outcome, acquired.attempt) == (AcquireOutcome.RUN, 2)


def test_a_refunded_attempt_does_not_count(rig: Rig) -> None:
    """A worker that shuts down may give a job back as often as it likes."""
    rig.enqueue("j1")
    for round_ in range(MAX_ATTEMPTS + 2):
        acquired = rig.acquire("j1", f"t{round_}")
        assert (acquired.outcome, acquired.attempt) == (AcquireOutcome.RUN, 1)
        assert rig.fail(f"t{round_}", refund=True)
        assert rig.ask("HGET", rig.box.keys.lease, "attempt") == b"0"


@pytest.mark.parametrize("refund", [True, False])
def test_a_repeated_fail_is_answered_the_same_and_counts_once(rig: Rig, refund: bool) -> None:
    """Its reply was lost: neither the back-off nor the attempts change."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    assert rig.fail("t1", delay_ms=500, refund=refund)
    lease = rig.ask("HGETALL", rig.box.keys.lease)
    rig.later(100)
    assert rig.fail("t1", delay_ms=500, refund=refund)
    assert rig.ask("HGETALL", rig.box.keys.lease) == lease


def test_a_stale_holder_cannot_fail_the_job_of_another(rig: Rig) -> None:
    """It is refused, and the new holder keeps its lease."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.later(LEASE_MS)
    rig.acquire("j1", "t2")
    lease = rig.ask("HGETALL", rig.box.keys.lease)
    assert not rig.fail("t1")
    assert rig.ask("HGETALL", rig.box.keys.lease) == lease


def test_a_late_repeat_of_fail_does_not_touch_the_next_holder(rig: Rig) -> None:
    """Once the job runs again the old token is forgotten."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.fail("t1")
    rig.acquire("j1", "t2")
    assert not rig.fail("t1")
    assert rig.renew("t2")


@pytest.mark.parametrize("token", ["t1", ""])
def test_failing_without_a_lease_is_fenced_and_leaves_no_key(rig: Rig, token: str) -> None:
    """There is nothing to give back."""
    assert not rig.fail(token)
    assert rig.ask("EXISTS", rig.box.keys.lease) == 0


def test_the_mailbox_is_looked_at_when_the_back_off_ends(rig: Rig) -> None:
    """After the delay and the grace time, should the retry's message be lost."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    rig.ask("DEL", rig.keyspace.due)
    rig.fail("t1", delay_ms=700)
    assert rig.due_at_ms() == rig.now_ms + 700 + GRACE_MS


def test_fail_and_renew_refresh_the_ttl_of_the_lease(rig: Rig) -> None:
    """A mailbox that is worked on never forgets its attempts."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    for operation in (rig.renew, rig.fail):
        rig.ask("PEXPIRE", rig.box.keys.lease, 60_000)
        operation("t1")
        assert DEDUPE_MS < rig.ttl_ms(rig.box.keys.lease) <= DEDUPE_MS + RENEWED_MS


def test_an_outage_counts_no_attempt_and_its_wait_is_counted(rig: Rig) -> None:
    """From the first time that no server was there, until an attempt counts or the job ends."""
    rig.enqueue("j1")
    assert rig.acquire("j1", "t1").away_ms == 0
    rig.fail("t1", refund=True, is_outage=True)
    for token in ("t2", "t3"):
        rig.later(1000)
        acquired = rig.acquire("j1", token)
        assert acquired.attempt == 1
        rig.fail(token, refund=True, is_outage=True)
    assert acquired.away_ms == 2000
    assert rig.acquire("j1", "t4").away_ms == 2000
    rig.fail("t4")
    rig.later(1000)
    again = rig.acquire("j1", "t5")
    assert (again.attempt, again.away_ms) == (2, 0)


def test_the_wait_of_a_job_is_not_that_of_the_next(rig: Rig) -> None:
    """It has never waited."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    rig.fail("t1", refund=True, is_outage=True, error="away")
    rig.later(5000)
    rig.cancel("j1")
    assert rig.acquire("j2", "t2").away_ms == 0

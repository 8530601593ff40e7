"""Asking for the end of a running job."""

import pytest

from memory.mailbox.outcomes import AcquireOutcome, CommitOutcome, StopPolicy
from tests.support.mailbox.rig import LEASE_MS, Rig

pytest_plugins = ["tests.support.mailbox.fixtures"]


def ask(rig: Rig, job: str, policy: StopPolicy = StopPolicy.KEEP) -> bool:
    """STOP, now."""
    return rig.connection.run(rig.box.stop(job, policy))


def asked(rig: Rig, job: str) -> StopPolicy | None:
    """What the job's holder finds."""
    return rig.connection.run(rig.box.stop_asked(job))


@pytest.mark.parametrize("policy", list(StopPolicy))
def test_the_holder_of_a_running_job_is_told(rig: Rig, policy: StopPolicy) -> None:
    """With the policy; asking twice is harmless, and the last policy counts."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    assert asked(rig, "j1") is None
    assert ask(rig, "j1")
    assert ask(rig, "j1", policy)
    assert asked(rig, "j1") is policy


def test_a_job_that_does_not_run_is_not_stopped(rig: Rig) -> None:
    """Waiting, unknown, after its lease, after its commit: there is nobody to tell."""
    rig.enqueue("j1")
    rig.enqueue("j2")
    assert not ask(rig, "j1")
    rig.acquire("j1", "t1")
    assert not ask(rig, "j2")
    assert not ask(rig, "nobody")
    rig.later(LEASE_MS)
    assert not ask(rig, "j1")
    rig.commit("t1", "j1")
    assert not ask(rig, "j1")


def test_the_wish_outlives_the_holder(rig: Rig) -> None:
    """Whoever runs the job next, after a crash, is told at once."""
    rig.enqueue("j1")
    rig.acquire("j1", "t1")
    ask(rig, "j1", StopPolicy.DISCARD)
    rig.later(LEASE_MS)
    again = rig.acquire("j1", "t2")
    assert (again.outcome, again.stop) == (AcquireOutcome.RUN, StopPolicy.DISCARD)


def test_the_wish_is_about_one_job(rig: Rig) -> None:
    """The next job of the session is not stopped."""
    rig.enqueue("j1")
    rig.enqueue("j2")
    rig.acquire("j1", "t1")
    ask(rig, "j1")
    assert rig.commit("t1", "j1").outcome is CommitOutcome.OK
    following = rig.acquire("j2", "t2")
    assert (following.outcome, following.stop) == (AcquireOutcome.RUN, None)
    assert asked(rig, "j2") is None

"""What an attempt may say of a job that it wanted to end."""

import pytest

from memory import Discarded, DiscardOutcome, JobToWake
from tasks.attempt.verdict import Cancelled, Ended, NotNow, after_discard, may_have_end
from tasks.errors import JobFailed

NEXT = JobToWake("next", b"{}")
FAILED = Ended(JobFailed("refused"), NEXT)


@pytest.mark.parametrize("verdict", [FAILED, Cancelled(NEXT)])
def test_who_has_taken_the_job_out_says_how_it_ended(verdict: Ended | Cancelled) -> None:
    """And delivers its end."""
    taken = after_discard(Discarded(DiscardOutcome.DISCARDED, NEXT), verdict)
    assert taken is verdict
    assert may_have_end(taken)


def test_who_has_lost_the_lease_reports_nothing() -> None:
    """Another holder goes on: a permanent error of the model is not the job's end."""
    assert after_discard(Discarded(DiscardOutcome.RUNNING), FAILED) == NotNow("lease lost")
    assert not may_have_end(NotNow("lease lost"))


@pytest.mark.parametrize("outcome", [DiscardOutcome.GONE, DiscardOutcome.DONE])
def test_a_job_that_is_over_already_is_looked_up_in_the_outbox(outcome: DiscardOutcome) -> None:
    """Perhaps this attempt ended it, and the reply was lost."""
    verdict = after_discard(Discarded(outcome, NEXT), FAILED)
    assert verdict == NotNow("is over", NEXT, is_over=True)
    assert may_have_end(verdict)

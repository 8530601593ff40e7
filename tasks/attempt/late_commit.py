"""A commit that Redis has refused: another attempt owns the session, or the job is over."""

import logging

from memory import CommitOutcome, Committed
from tasks.attempt.verdict import NotNow
from telemetry.metrics import LATE_COMMITS

logger = logging.getLogger(__name__)


def after_refused_commit(shown_job: str, committed: Committed) -> NotNow:
    """What a commit means that has recorded nothing; `shown_job` is how a log names the job."""
    if committed.outcome is CommitOutcome.GONE:
        return NotNow("is over", committed.next, is_over=True)
    why = committed.outcome.value
    LATE_COMMITS.inc()
    logger.warning("late commit of job %s refused; its reply is dropped: %s", shown_job, why)
    return NotNow(why)

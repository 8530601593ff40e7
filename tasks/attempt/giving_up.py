"""Jobs that end without an answer: what expires, and what is said of dead letters."""

import logging

from memory import Acquired
from memory.ids import shown_id
from tasks.attempt.lease import LeaseHolder
from tasks.attempt.retry import MAX_ERROR_CHARS
from tasks.attempt.verdict import Ended, Verdict, after_discard
from tasks.errors import JobExpired, JobFailed, JobTimeout
from tasks.job.failure_code import FailureCode
from tasks.job.job import ChatJob
from tasks.process.live_events import AttemptEvents
from tasks.process.redis_clock import redis_clock
from tasks.process.stopping import StopReason
from telemetry.metrics import DEAD_LETTERS_MADE

logger = logging.getLogger(__name__)


def expired(job_id: str, job: ChatJob, acquired: Acquired) -> JobExpired | None:
    """Why a job that was just acquired is not begun any more; None: it is.

    A second attempt is not asked: the first began in time. What only waited for a slot or a server
    was given back with its attempt, and comes as the first again. A cancelled job is cancelled.
    """
    if job.expires is None or acquired.attempt > 1 or acquired.stop is not None:
        return None
    late_s = redis_clock().best_s - job.expires
    if late_s < 0:
        return None
    logger.info("job %s has expired; it ends without a call of the model", shown_id(job_id))
    return JobExpired(f"the job had not begun when it expired, {late_s:.1f} s ago")


def is_refunded(reason: StopReason, job: ChatJob, acquired: Acquired, max_attempts: int) -> bool:
    """Whether an attempt that is given back does not count.

    That a worker stops is not the job's fault; but of a job that may expire the first attempt
    counts, where others are left: it has begun, and the next one must find that.
    """
    may_expire = job.expires is not None and acquired.attempt == 1 < max_attempts
    return reason is StopReason.DRAINED and not may_expire


async def give_up(
    holder: LeaseHolder, events: AttemptEvents, error: JobExpired | JobTimeout
) -> Verdict:
    """Have a job fail with nothing of it recorded, and no dead letter."""
    code = FailureCode.EXPIRED if isinstance(error, JobExpired) else FailureCode.TIMEOUT
    ended = await holder.give_up(str(error), code, await events.unsent())
    return after_discard(ended, Ended(error, ended.next))


async def bury(
    holder: LeaseHolder,
    events: AttemptEvents,
    reason: str,
    kind: str,
    code: FailureCode | None = None,
) -> Verdict:
    """Make a job a dead letter; `kind` is what metrics say of the reason."""
    reason = reason[:MAX_ERROR_CHARS]
    buried = await holder.bury(reason, code, await events.unsent())
    verdict = after_discard(buried, Ended(JobFailed(reason), buried.next))
    if isinstance(verdict, Ended):
        note_death(events.job_id, events.attempt, reason, kind)
    return verdict


def note_death(job_id: str, attempt: int, reason: str, kind: str) -> None:
    """Count a dead letter and tell the log; `kind` is what metrics say of the reason."""
    DEAD_LETTERS_MADE.labels(kind).inc()
    logger.warning(
        "job %s is a dead letter after attempt %d: %s; `griot dead-letters` sends it again",
        shown_id(job_id),
        attempt,
        reason,
    )

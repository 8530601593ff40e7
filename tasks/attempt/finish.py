"""What is done when an attempt has its verdict: wake the session's next job, deliver the end."""

import logging

from memory import MemoryServiceError
from tasks.attempt.start import RunningAttempt
from tasks.attempt.verdict import Answered, may_have_end
from tasks.process.app import app
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.wakeup import wake
from tasks.process.worker.services import worker_services
from telemetry import tracing

logger = logging.getLogger(__name__)


def wake_next(attempt: RunningAttempt) -> None:
    """Wake the session's next job, if there is one; blocks."""
    ref = attempt.ref
    crash_if_armed(CrashPoint.BEFORE_WAKE)
    keys = worker_services().keyspace.session(ref.agent_id, ref.session_id)
    wake(app, keys, attempt.verdict.result().wake)


async def deliver_end(attempt: RunningAttempt) -> None:
    """Deliver the end that the attempt has made, if any; on the worker's loop.

    A failure is logged: the end lies in the outbox, and a sweep tries again.
    """
    worker, ref, verdict = worker_services(), attempt.ref, attempt.verdict.result()
    if not may_have_end(verdict):
        return
    crash_if_armed(CrashPoint.BEFORE_RESULT)
    keys = worker.keyspace.session(ref.agent_id, ref.session_id)
    with tracing.at(attempt.trace.place), tracing.child("deliver result"):
        if isinstance(verdict, Answered) and verdict.end is not None:
            await worker.ends.deliver(keys, verdict.end)
            return
        try:
            await worker.ends.deliver_session(keys, attempt.token)
        except MemoryServiceError as exc:
            logger.warning("the result of job %s will be delivered later: %s", ref.shown, exc)

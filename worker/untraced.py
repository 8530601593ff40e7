"""The common ends of a chat job's message, without Celery's tracer: what is logged here is what
celery 5.7.0 logs.

The tracer makes every end that asks for more (a retry, a failure, receivers of its signals), in a
thread.
"""

import logging
from typing import TypeGuard

from celery import signals
from celery.app.task import Context
from celery.app.trace import LOG_IGNORED, LOG_SUCCESS

from tasks.attempt.request import MessageIsOver
from tasks.attempt.verdict import Answered, NotNow, Verdict
from tasks.job.result import RedactedResult
from tasks.process.wakeup import CHAT_TASK, is_wakeup

logger = logging.getLogger("celery.app.trace")

# A receiver of one of these is called by Celery's own tracer.
_SIGNALS = (signals.task_prerun, signals.task_postrun, signals.task_success)


def is_common(verdict: Verdict) -> TypeGuard[Answered | NotNow]:
    """Whether nothing is left to do for a message but to say that its job has succeeded, or that
    another message will come."""
    match verdict:
        case Answered() | NotNow(is_over=False, again_in_s=None):
            return True
    return False


def needs_no_tracer(request: Context) -> bool:
    """Whether a message, of which that is so, asks for nothing that only Celery's tracer does."""
    return is_wakeup(vars(request)) and not any(signal.receivers for signal in _SIGNALS)


def end_untraced(
    request: Context, verdict: Answered | NotNow, runtime_s: float
) -> tuple[int, object, float]:
    """Log that a job has succeeded, or that its message has come for nothing; what Celery's request
    is told, as of the tracer."""
    facts = {
        "id": request.id,
        "name": CHAT_TASK,
        "args": request.argsrepr,
        "kwargs": request.kwargsrepr,
    }
    if isinstance(verdict, NotNow):
        ended = MessageIsOver(verdict.reason)
        facts |= {"exc": repr(ended.exception), "description": "ignored", "internal": False}
        logger.info(LOG_IGNORED, facts, extra={"data": facts})
        return 1, ended, runtime_s
    shown = repr(RedactedResult(verdict.result))
    facts |= {"return_value": shown, "runtime": runtime_s}
    logger.info(LOG_SUCCESS, facts, extra={"data": facts})
    return 0, shown, runtime_s

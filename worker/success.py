"""The common end of a chat job, without Celery's tracer: what is logged here is what celery 5.7.0
logs.

The tracer makes every end that asks for more (a retry, a failure, receivers of its signals), in a
thread.
"""

import logging

from celery import signals
from celery.app.task import Context
from celery.app.trace import LOG_SUCCESS

from tasks.attempt.verdict import Answered, Verdict
from tasks.job.result import RedactedResult
from tasks.process.wakeup import CHAT_TASK, is_wakeup

logger = logging.getLogger("celery.app.trace")

# A receiver of one of these is called by Celery's own tracer.
_SIGNALS = (signals.task_prerun, signals.task_postrun, signals.task_success)


def needs_no_tracer(request: Context, verdict: Verdict) -> bool:
    """Whether nothing is left to do for a job but to say that it has succeeded."""
    has_receivers = any(signal.receivers for signal in _SIGNALS)
    return isinstance(verdict, Answered) and is_wakeup(vars(request)) and not has_receivers


def log_success(request: Context, verdict: Answered, runtime_s: float) -> str:
    """Log that a job has succeeded; how its result may be shown."""
    shown = repr(RedactedResult(verdict.result))
    shown_data = {
        "id": request.id,
        "name": CHAT_TASK,
        "return_value": shown,
        "runtime": runtime_s,
        "args": request.argsrepr,
        "kwargs": request.kwargsrepr,
    }
    logger.info(LOG_SUCCESS, shown_data, extra={"data": shown_data})
    return shown

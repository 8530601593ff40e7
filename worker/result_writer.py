"""Storing the result of an answered job on the event loop: the common end of a chat job.

Celery's tracer makes every end that asks for more (a retry, a failure, links, a group, receivers
of its signals), in a thread and with a round trip after the other. What is stored, sent and logged
here is what celery 5.7.0 stores, sends and logs.
"""

import logging
import time

from celery import Celery, signals
from celery.app.task import Context
from celery.app.trace import LOG_SUCCESS
from celery.backends.redis import RedisBackend
from celery.states import SUCCESS

from memory import AsyncConnection, Command, MemoryServiceError, MemorySettings
from tasks.attempt.start import RunningAttempt
from tasks.attempt.verdict import Answered, Verdict
from tasks.job.result import RedactedResult
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.services import worker_services
from tasks.process.wakeup import CHAT_TASK, is_wakeup

logger = logging.getLogger("celery.app.trace")

# A receiver of one of these is called by Celery's own tracer.
_SIGNALS = (signals.task_prerun, signals.task_postrun, signals.task_success)


class ResultWriter:
    """Stores the results of jobs that leave nothing else to do; on the loop only."""

    def __init__(self, app: Celery) -> None:
        self._backend = app.backend
        self._results: AsyncConnection | None = None
        settings = worker_services().settings
        if type(app.backend) is RedisBackend and settings.memory.mode == "single":
            url, timeout_s = settings.results_redis_url, settings.memory.timeout_s
            where = MemorySettings(url=url, timeout_s=timeout_s)
            self._results = AsyncConnection(where)

    async def store(self, request: Context, attempt: RunningAttempt) -> str | None:
        """Store the result of a job that `needs_only_its_result`, and log it; how it may be shown.

        None where Celery's tracer has to make the end: for another kind of result backend, and
        for a result that cannot be stored here, for the tracer tries for longer.
        """
        verdict = attempt.verdict.result()
        if self._results is None or not isinstance(verdict, Answered):
            return None
        crash_if_armed(CrashPoint.BEFORE_RESULT)
        result = RedactedResult(verdict.result)
        try:
            await self._results.run_each(self._stored(request, result))
        except MemoryServiceError as exc:
            logger.warning(
                "the result of job %s is not stored yet, Celery tries on: %s", request.id, exc
            )
            return None
        worker_services().owing.stored(request.id)
        _log(request, repr(result), time.monotonic() - attempt.started_s)
        return repr(result)

    async def aclose(self) -> None:
        """Close the connection to the results."""
        if self._results is not None:
            await self._results.aclose()

    def _stored(self, request: Context, result: RedactedResult) -> list[Command[None]]:
        meta = self._backend._get_result_meta(result, SUCCESS, None, request)
        packed = self._backend.encode({**meta, "task_id": request.id})
        key = self._backend.get_key_for_task(request.id)
        kept = ("SETEX", key, int(self._backend.expires), packed)
        return [Command(_nothing, parts) for parts in (kept, ("PUBLISH", key, packed))]


def needs_only_its_result(request: Context, verdict: Verdict) -> bool:
    """Whether nothing is left to do for a job but to wake the next one and to store its result."""
    has_receivers = any(signal.receivers for signal in _SIGNALS)
    is_new = isinstance(verdict, Answered) and not verdict.is_repeat
    return is_new and is_wakeup(vars(request)) and not (request.ignore_result or has_receivers)


def _log(request: Context, shown: str, runtime_s: float) -> None:
    shown_data = {
        "id": request.id,
        "name": CHAT_TASK,
        "return_value": shown,
        "runtime": runtime_s,
        "args": request.argsrepr,
        "kwargs": request.kwargsrepr,
    }
    logger.info(LOG_SUCCESS, shown_data, extra={"data": shown_data})


def _nothing(_: object) -> None:
    """For a command whose answer says nothing."""

"""What a worker does for a message of the chat task, where Celery runs the task's body.

`tasks.chat` names it, and loads it with the first body that runs: a producer never does.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn, Unpack

from celery import Task
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, Retry
from celery.states import READY_STATES
from kombu.exceptions import OperationalError

from memory import CannotRead, CorruptData, InvalidInput, MemoryServiceError
from memory.ids import shown_id
from tasks.attempt.finish import deliver_end, wake_next
from tasks.attempt.start import (
    RunningAttempt,
    job_ref_of,
    limits_of,
    options_of,
    place_of,
    start_attempt,
    started_before,
)
from tasks.attempt.verdict import Answered, Cancelled, Ended, Later, NotNow, Refused, Verdict
from tasks.end.delivery import Delivery
from tasks.errors import InvalidJob
from tasks.job.envelope import JobRef
from tasks.job.options import ChatOptions
from tasks.job.result import RedactedResult
from tasks.process.log_context import log_about
from tasks.process.services import producer_services
from tasks.process.wakeup import priority_in, publish, wakeup_kwargs
from tasks.process.worker.services import worker_services
from tasks.submit.follow import last_end

logger = logging.getLogger(__name__)


def run_body(
    task: Task,
    agent_id: str,
    session_id: str,
    message: str | None = None,
    **options: Unpack[ChatOptions],
) -> RedactedResult:
    """Make an attempt at the job of the message that `task` handles, and end as it comes out.

    Under `worker.pool` this runs only for ends that ask for more than a stored result. The pool has
    started the attempt, and makes the common end itself.
    """
    attempt = started_before.get() or start_attempt(
        job_ref_of(task.request, agent_id, session_id, message, **options)
    )
    with log_about(attempt.in_log):
        return _seen_through(task, attempt, {"message": message, **options})


def _seen_through(
    task: Task, attempt: RunningAttempt, given: Mapping[str, object]
) -> RedactedResult:
    """Wait for the verdict, wake the next job, and do what the verdict says."""
    ref = attempt.ref
    try:
        verdict = worker_services().runtime.wait(attempt.verdict)
    except InvalidInput as exc:
        # An id that cannot be in a key will not be able to be the next time either.
        raise InvalidJob(str(exc)) from None
    except MemoryServiceError as exc:
        named = {"agent_id": ref.agent_id, "session_id": ref.session_id}
        _again(task, ref, {**named, **given, **limits_of(task.request), **_deadline(ref)}, exc)
    if not attempt.is_followed_up:
        wake_next(attempt)
        worker_services().runtime.run(deliver_end(attempt))
    return _settle(task, ref, verdict)


def _settle(task: Task, ref: JobRef, verdict: Verdict) -> RedactedResult:
    if not isinstance(verdict, Refused):
        _leave_to_outbox(task.request)
    match verdict:
        case Answered(result):
            return RedactedResult(result)
        case Ended(error) | Refused(error):
            raise error
        case Later(error, delay_s):
            _wake_again(task, ref, delay_s)
            raise Retry(exc=error, when=delay_s)
        case Cancelled():
            raise _end_as_revoked(task)
        case NotNow():
            raise _end_without_result(task, _left(task, ref, verdict))


def _left(task: Task, ref: JobRef, verdict: NotNow) -> str:
    """Do what is left to do for a job that this message has not answered; why it has not."""
    if verdict.again_in_s is not None:
        _wake_again(task, ref, verdict.again_in_s)
    if verdict.is_over:
        _restore_result(task)
    return verdict.reason


def _restore_result(task: Task) -> None:
    """Store a result that is gone. What was delivered is out of the outbox, so the result of a job
    that is over a moment ago is not taken for one that has expired."""
    if task.backend.get_state(task.request.id) in READY_STATES:
        return
    try:
        kept = last_end(task.request.id)
    except CannotRead as exc:
        shown = shown_id(task.request.id)
        logger.error("the result of job %s could not be stored again: %s", shown, exc)
        return
    if kept is not None:
        Delivery(task.app).deliver(*kept)


def _leave_to_outbox(request: Context) -> None:
    """Have Celery's tracer only log and notify: the outbox has the result and what follows it.

    A raw job's message says itself what follows; its envelope says so too.
    """
    nothing = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    request.update({**nothing, "ignore_result": True})


def _end_as_revoked(task: Task) -> Ignore:
    task.send_event("task-revoked", terminated=False, signum=None, expired=False)
    return Ignore("cancelled")


def _end_without_result(task: Task, reason: str) -> Ignore:
    # Without a closing event Flower would show the task as running for ever
    # (docs/decisions.md, "The mailbox decides how a job ended").
    task.send_event("task-retried", exception=reason, traceback="")
    return Ignore(reason)


def _again(
    task: Task, ref: JobRef, given: Mapping[str, object], error: MemoryServiceError
) -> NoReturn:
    """Redis failed before the job was ours: the same message once more, a little later."""
    if isinstance(error, CorruptData) and ref.envelope is None:
        # It lasts until somebody mends the key, and the job waits in its mailbox. The sweeper comes
        # by, less and less often; a message that published itself again would stay beside each.
        logger.error(
            "job %s cannot run until its key is repaired: %s", shown_id(task.request.id), error
        )
        raise _end_without_result(task, str(error))
    delay_s = producer_services().settings.queue.retry_base_s
    kwargs = {name: value for name, value in given.items() if value is not None}
    if not _publish_again(task, kwargs, delay_s):
        raise Reject(str(error), requeue=True) from error
    raise Retry(exc=error, when=delay_s)


def _deadline(ref: JobRef) -> dict[str, str]:
    """The `expires` of a raw job as a moment: as seconds from now it would begin anew each time."""
    expires_s = ref.envelope.job.expires if ref.envelope else None
    if expires_s is None:
        return {}
    return {"expires": datetime.fromtimestamp(expires_s, UTC).isoformat()}


def _wake_again(task: Task, ref: JobRef, delay_s: float) -> None:
    keys = producer_services().keyspace.session(ref.agent_id, ref.session_id)
    _publish_again(task, wakeup_kwargs(keys, ref.max_history), delay_s)


def _publish_again(task: Task, kwargs: Mapping[str, object], delay_s: float) -> bool:
    try:
        publish(
            task.app,
            task.request.id,
            kwargs,
            options_of(task.request),
            retries=task.request.retries + 1,
            countdown_s=delay_s,
            trace=place_of(task.request),
            priority=priority_in(vars(task.request)),
        )
    except OperationalError as exc:
        logger.warning(
            "the retry of job %s was not published; the broker will deliver its message again: %s",
            shown_id(task.request.id),
            exc,
        )
        return False
    return True

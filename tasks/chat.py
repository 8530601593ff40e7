"""The chat task: what producers call, and what a worker runs for each message."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NoReturn, Unpack, overload

from celery import Task
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, Retry
from celery.states import READY_STATES
from kombu.exceptions import OperationalError

from memory import CannotDecrypt, CorruptData, InvalidInput, MemoryServiceError, StopPolicy
from memory.ids import shown_id
from memory.quoting import quoted
from tasks.attempt.finish import deliver_end, wake_next
from tasks.attempt.start import (
    RunningAttempt,
    job_ref_of,
    options_of,
    place_of,
    start_attempt,
    started_before,
)
from tasks.attempt.verdict import Answered, Cancelled, Ended, Later, NotNow, Refused, Verdict
from tasks.eager import work_off
from tasks.end.delivery import Delivery
from tasks.errors import InvalidJob, JobFailed, LimitReached, QuotaExceeded, SessionBusy
from tasks.job.celery_options import publish_options
from tasks.job.due_time import not_before_of
from tasks.job.envelope import Envelope, JobRef
from tasks.job.options import ChatArguments, ChatOptions
from tasks.job.result import RedactedResult
from tasks.process.app import app
from tasks.process.log_context import log_about
from tasks.process.redis_clock import redis_clock
from tasks.process.services import producer_services, worker_services
from tasks.process.wakeup import CHAT_TASK, publish, wakeup_kwargs
from tasks.submit.cancel import CancelOutcome, cancel
from tasks.submit.follow import last_end
from tasks.submit.job_result import JobResult
from tasks.submit.producer import producer
from tasks.submit.traced import sending

logger = logging.getLogger(__name__)


class ChatTask(Task):  # type: ignore[misc]  # Celery ships no types
    """Celery's task class, with the mailbox between `delay` and the broker."""

    abstract = True
    Request = "tasks.attempt.request:ChatTaskRequest"

    if TYPE_CHECKING:
        # Celery's own `delay` runs: it hands everything to `apply_async`, which says what is wrong
        # with the arguments as InvalidJob, a missing one too.
        def delay(
            self, agent_id: str, session_id: str, message: str, **options: Unpack[ChatOptions]
        ) -> JobResult:
            """Send a chat job; when this returns, it is in its session's mailbox.

            The options are those of `tasks.ChatOptions`; errors, and what is safe to repeat, are
            those of `apply_async`.
            """

    @overload
    def apply_async(
        self,
        args: tuple[str, str, str],
        kwargs: ChatOptions | None = None,
        task_id: str | None = None,
        **options: object,
    ) -> JobResult: ...

    @overload
    def apply_async(
        self,
        args: tuple[()] | None = None,
        *,
        kwargs: ChatArguments,
        task_id: str | None = None,
        **options: object,
    ) -> JobResult: ...

    def apply_async(
        self,
        args: Sequence[object] | None = None,
        kwargs: Mapping[str, object] | None = None,
        task_id: str | None = None,
        **options: object,
    ) -> JobResult:
        """Send a chat job; when this returns, it is in its session's mailbox.

        `args` and `kwargs` are those of `delay`, `options` those of Celery (queue, priority, link,
        headers and the like; `eta` and `countdown` are `not_before`). Sending again with the same
        `task_id` (or the same `idempotency_key`) is safe and gives the same job. Raises InvalidJob
        (nothing was sent), JobConflict (the id is another request's), SessionBusy
        (`on_busy="reject"`, and the session has a job), memory.Backpressure (it has
        CHAT_MAX_PENDING unanswered ones), LimitReached (so has the whole deployment), QuotaExceeded
        (of its user or agent), memory.MemoryFull, or NotAccepted (Redis did not confirm in time;
        send it again).
        """
        now_s = redis_clock().now_s or time.time()
        due = not_before_of(options, now_s=now_s)
        arguments = {**(kwargs or {}), **({} if due is None else {"not_before": due})}
        job = producer().checked(args or (), arguments)
        if self.app.conf.task_always_eager:
            job = job.model_copy(update={"not_before": None})
        job_id = job.job_id(task_id)
        with sending(job.agent_id, job_id) as place:
            envelope = Envelope(job=job, publish=publish_options(options), trace=place)
            submission = producer().submission(envelope, job_id)
            producer().submit(submission)
        if self.app.conf.task_always_eager:
            work_off(submission)
        return JobResult(submission.job_id, app=self.app)

    def AsyncResult(self, task_id: str, **options: object) -> JobResult:
        """The result of a job, by its id; decrypted where it is stored encrypted."""
        return JobResult(task_id, app=self.app, **options)

    def cancel(
        self, job_id: str, policy: Literal["keep", "discard"] | None = None
    ) -> CancelOutcome:
        """Cancel a job, waiting or running, from any process; see `tasks.submit.cancel.cancel`."""
        if policy is not None and policy not in set(StopPolicy):
            raise InvalidJob(f"policy must be {' or '.join(StopPolicy)}, not {quoted(policy)}")
        return cancel(self.app, job_id, None if policy is None else StopPolicy(policy))


def _registered(body: Callable[..., RedactedResult]) -> ChatTask:
    """The task with this body: `app.task` with a type, which Celery's decorator does not have."""
    task: ChatTask = app.task(
        bind=True,
        base=ChatTask,
        name=CHAT_TASK,
        acks_late=True,
        throws=(JobFailed, InvalidJob, SessionBusy, LimitReached, QuotaExceeded),
    )(body)
    return task


@_registered
def chat_task(
    self: Task,
    agent_id: str,
    session_id: str,
    message: str | None = None,
    **options: Unpack[ChatOptions],
) -> RedactedResult:
    """Answer one message of a session with the agent's model and remember both.

    Without a message it is a wake-up of ours: the job lies in the mailbox under the task's id.
    Under `worker.pool` this body runs only for ends that ask for more than a stored result. The
    pool has started the attempt, and makes the common end itself.
    """
    if self.request.called_directly:
        raise InvalidJob("chat_task(...) itself sends nothing: call chat_task.delay(...)")
    attempt = started_before.get() or start_attempt(
        job_ref_of(self.request, agent_id, session_id, message, **options)
    )
    with log_about(attempt.in_log):
        return _seen_through(self, attempt, {"message": message, **options})


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
        _again(task, ref, {"agent_id": ref.agent_id, "session_id": ref.session_id, **given}, exc)
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
            keys = producer_services().keyspace.session(ref.agent_id, ref.session_id)
            _publish_again(task, wakeup_kwargs(keys, ref.max_history), delay_s)
            raise Retry(exc=error, when=delay_s)
        case Cancelled():
            raise _end_as_revoked(task)
        case NotNow(reason, is_over=is_over):
            if is_over:
                _restore_result(task)
            raise _end_without_result(task, reason)


def _restore_result(task: Task) -> None:
    """Store a result that is gone. What was delivered is out of the outbox, so the result of a job
    that is over a moment ago is not taken for one that has expired."""
    if task.backend.get_state(task.request.id) in READY_STATES:
        return
    try:
        kept = last_end(task.request.id)
    except CannotDecrypt as exc:
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
        )
    except OperationalError as exc:
        logger.warning(
            "the retry of job %s was not published; the broker will deliver its message again: %s",
            shown_id(task.request.id),
            exc,
        )
        return False
    return True

"""The chat task: what producers call; what a worker runs for it is in `tasks.attempt.body`."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Unpack, overload

from celery import Task
from celery.utils.imports import symbol_by_name

from memory import StopPolicy
from memory.quoting import quoted
from tasks.errors import InvalidJob, JobFailed, LimitReached, QuotaExceeded, SessionBusy
from tasks.job.celery_options import publish_options
from tasks.job.deadline import celery_timeout
from tasks.job.due_time import not_before_of
from tasks.job.envelope import Envelope
from tasks.job.options import ChatArguments, ChatOptions
from tasks.job.result import RedactedResult
from tasks.process.app import app
from tasks.process.wakeup import CHAT_TASK
from tasks.submit.cancel import CancelOutcome, cancel
from tasks.submit.job_result import JobResult
from tasks.submit.producer import producer
from tasks.submit.submission import Submission
from tasks.submit.traced import sending

# By name, as Celery takes classes: what runs jobs belongs to workers, and no producer loads it
# (docs/decisions.md, "A process loads what it needs").
_BODY = "tasks.attempt.body:run_body"
_WORK_OFF = "tasks.eager:work_off"


def work_off(submission: Submission) -> None:
    """Do a job in the process of its sender, under `task_always_eager`. Raises
    MemoryServiceError."""
    symbol_by_name(_WORK_OFF)(submission)


def _arguments(options: Mapping[str, object], clock: Callable[[], float]) -> dict[str, object]:
    """What options of Celery's say of the job itself. Raises InvalidJob."""
    is_counted = options.get("countdown") is not None
    due = not_before_of(options, now_s=clock() if is_counted else 0.0)
    of_job = {name: options.get(name) for name in ("expires", "priority")}
    given = {"not_before": due, "timeout_s": celery_timeout(options), **of_job}
    return {name: value for name, value in given.items() if value is not None}


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

        `args` and `kwargs` are those of `delay`, `options` those of Celery (queue, link, headers
        and the like; `eta` and `countdown` are `not_before`, `expires` is that of `delay`, and
        `priority` too, or one of Celery's numbers; the shorter of `time_limit` and
        `soft_time_limit` is `timeout_s`).
        Sending again with the same `task_id` (or the same `idempotency_key`) is safe and gives the
        same job. Raises InvalidJob
        (nothing was sent), JobConflict (the id is another request's), SessionBusy
        (`on_busy="reject"`, and the session has a job), memory.Backpressure (it has
        CHAT_MAX_PENDING unanswered ones), LimitReached (so has the whole deployment), QuotaExceeded
        (of its user or agent), memory.MemoryFull, or NotAccepted (Redis did not confirm in time;
        send it again).
        """
        sender = producer()
        arguments = {**(kwargs or {}), **(_arguments(options, sender.now_s) if options else {})}
        job = sender.checked(args or (), arguments)
        is_eager = self.app.is_eager
        if is_eager:
            job = job.model_copy(update={"not_before": None})
        job_id = job.job_id(task_id)
        with sending(job.agent_id, job_id) as place:
            envelope = Envelope(job=job, publish=publish_options(options), trace=place)
            submission = sender.submission(envelope, job_id)
            sender.submit(submission)
        if is_eager:
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
    """
    if self.request.called_directly:
        raise InvalidJob("chat_task(...) itself sends nothing: call chat_task.delay(...)")
    run: Callable[..., RedactedResult] = symbol_by_name(_BODY)
    return run(self, agent_id, session_id, message, **options)

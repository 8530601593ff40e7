"""From a Celery request to an attempt that is under way on the event loop.

The task body begins it itself under Celery's own pools; `worker.pool` begins it before the body
runs, so that no thread waits for a model.
"""

import time
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from celery.app.task import Context

from tasks.attempt.attempt import attempt
from tasks.attempt.lease_holder import JobRef
from tasks.attempt.verdict import Verdict
from tasks.job.job import Envelope
from tasks.process.wakeup import DUE_HEADER
from tasks.process.wiring import services
from tasks.submit.producer import checked_job, publish_options


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt under way: `verdict` gives what it comes to, or raises MemoryServiceError."""

    ref: JobRef
    verdict: "Future[Verdict]"
    at_s: float = field(default_factory=time.monotonic)
    """When it began, by the monotonic clock."""

    def after_waking(self) -> "RunningAttempt":
        """The same once the next job of an answered one has been woken."""
        verdict = self.verdict.result()
        settled: Future[Verdict] = Future()
        settled.set_result(replace(verdict, wake=None))
        return replace(self, verdict=settled)


begun_before: ContextVar[RunningAttempt | None] = ContextVar("begun_before", default=None)
"""The attempt that was begun for the task which runs in this context, if there is one."""


def begin(ref: JobRef) -> RunningAttempt:
    """Begin an attempt at a job."""
    return RunningAttempt(ref, services().runtime.spawn(attempt(services(), ref)))


def received(
    request: Context,
    /,
    agent_id: str,
    session_id: str,
    message: str | None = None,
    **options: object,
) -> JobRef:
    """The job that a message of `chat_task` is about; how long it lay in the queue is noted.

    Without a text it is a wake-up of ours: the job lies in the mailbox under the task's id.
    Raises InvalidJob for a raw job that cannot be one, and TypeError for arguments that are none.
    """
    due_at = request.get(DUE_HEADER)
    if isinstance(due_at, float):
        services().queue_wait.note(time.time() - due_at)
    max_history = options.get("max_history")
    window = max_history if isinstance(max_history, int) else None
    if message is None:
        return JobRef(request.id, agent_id, session_id, window)
    job = checked_job((agent_id, session_id, message), options)
    envelope = Envelope(job=job, publish=options_of(request))
    return JobRef(request.id, agent_id, session_id, window, envelope.pack())


def options_of(request: Context) -> dict[str, object]:
    """The options that the message being handled was published with."""
    options = request.as_execution_options()
    for name in ("task_id", "retries", "origin", "expires", "time_limit", "soft_time_limit"):
        options.pop(name, None)
    queue = (request.delivery_info or {}).get("routing_key")
    return dict(publish_options({**options, "queue": queue}))

"""The producer's side: a job goes into its session's mailbox, and its wake-up to the broker."""

import logging
from collections.abc import Mapping

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.utils import json
from pydantic import JsonValue

from memory import Backpressure, EnqueueOutcome, Mailbox, MemoryUnavailable
from tasks.crash_points import CrashPoint, passing
from tasks.errors import InvalidJob, NotAccepted
from tasks.job import ChatJob, Envelope
from tasks.wakeup import publish, wakeup_kwargs
from tasks.wiring import services

logger = logging.getLogger(__name__)

# Celery's options that a mailbox cannot keep: they would take a job out of its place in the order.
_REFUSED = frozenset({"countdown", "eta", "expires", "time_limit", "soft_time_limit"})
# Celery's options that are about this process only, not about the job.
_LOCAL = frozenset(
    {"producer", "publisher", "connection", "add_to_parent", "router", "retry", "retry_policy"}
)


def submit(app: Celery, job: ChatJob, job_id: str, options: Mapping[str, object]) -> None:
    """Put a job into its session's mailbox; wake a worker if it is first there.

    When this returns, the job is in. Safe to repeat with the same `job_id`. Raises InvalidJob,
    memory.Backpressure, memory.MemoryFull (not in, for certain) or NotAccepted (not known).
    """
    shared = services()
    queue = shared.settings.queue
    mailbox = Mailbox.of(shared.keyspace, job.agent_id, job.session_id)
    envelope = Envelope(job=job, publish=publish_options(options))
    calls = mailbox.enqueue(
        job_id,
        envelope.pack(),
        cap=queue.max_pending,
        grace_ms=shared.grace_ms,
        dedupe_ms=queue.dedupe_ms,
    )
    try:
        enqueued = shared.memory.run_all(*calls)[-1]
    except MemoryUnavailable as exc:
        raise NotAccepted(
            f"Redis did not confirm job {job_id}: {exc}; it may be in or not. "
            "Send it again with this task_id: it cannot be doubled"
        ) from exc
    if enqueued.outcome is EnqueueOutcome.FULL:
        raise Backpressure(job.agent_id, job.session_id, enqueued.pending)
    if enqueued.position == 0:
        passing(CrashPoint.ENQUEUED)
        _knock(app, job_id, wakeup_kwargs(mailbox.keys, job.max_history), envelope.publish)


def publish_options(options: Mapping[str, object]) -> dict[str, JsonValue]:
    """The Celery options that travel with the job. Raises InvalidJob for one that cannot."""
    given = {name: value for name, value in options.items() if value not in (None, [], {})}
    refused = sorted(_REFUSED & given.keys())
    if refused:
        raise InvalidJob(
            f"chat_task keeps the order of a session and takes no {', '.join(refused)}: "
            "send the job when it is due"
        )
    kept = {name: value for name, value in given.items() if name not in _LOCAL}
    try:
        plain: dict[str, JsonValue] = json.loads(json.dumps(kept))
    except (TypeError, ValueError):
        raise InvalidJob("the Celery options of a chat job must be JSON values") from None
    return plain


def _knock(
    app: Celery, job_id: str, kwargs: Mapping[str, object], options: Mapping[str, JsonValue]
) -> None:
    try:
        publish(app, job_id, kwargs, options)
    except OperationalError as exc:
        # The job is in; the sweeper wakes it within CHAT_SWEEP_SECONDS + CHAT_GRACE_SECONDS.
        logger.warning("wake-up of job %s not published: %s", job_id, exc)

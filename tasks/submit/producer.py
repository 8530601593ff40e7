"""The producer's side: a job goes into its session's mailbox, and its wake-up to the broker."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.utils import json
from pydantic import JsonValue

from memory import Command, Enqueued, Mailbox, MemoryUnavailable, index
from tasks.errors import InvalidJob, NotAccepted
from tasks.job.images import check_images
from tasks.job.job import ChatJob, Envelope
from tasks.process.crash_points import CrashPoint, passing
from tasks.process.wakeup import publish, wakeup_kwargs
from tasks.process.wiring import Services, services
from tasks.submit.intake import check_taken_in, has_effects, intake_of, see_to_others

logger = logging.getLogger(__name__)

_ARGUMENTS = inspect.signature(lambda agent_id, session_id, message, **options: None)
# Celery's options that a mailbox cannot keep: they would take a job out of its place in the order.
_REFUSED = frozenset({"countdown", "eta", "expires", "time_limit", "soft_time_limit"})
# Celery's options that are about this process only, not about the job.
_LOCAL = frozenset(
    {"producer", "publisher", "connection", "add_to_parent", "router", "retry", "retry_policy"}
)


@dataclass(frozen=True, slots=True)
class Submission:
    """A job on its way into its mailbox: what to send, and what the answer means."""

    shared: Services
    mailbox: Mailbox
    job: ChatJob
    job_id: str
    envelope: Envelope

    def calls(self) -> tuple[*tuple[Command[object], ...], Command[Enqueued]]:
        """What goes to Redis, in one round trip; the last call answers."""
        job, shared = self.job, self.shared
        cap = shared.settings.queue.max_pending
        intake = intake_of(shared, self.job_id, job, self.envelope.pack(), cap=cap)
        return (
            *index.touch(shared.keyspace, job.agent_id, job.session_id),
            *self.mailbox.take_in(intake, grace_ms=shared.grace_ms),
        )

    def is_to_be_told(self, enqueued: Enqueued) -> bool:
        """Whether anyone is to be told of the job that is in now.

        Raises memory.Backpressure, SessionBusy or JobConflict where it was not taken in.
        """
        check_taken_in(self.job, self.job_id, enqueued)
        return enqueued.position == 0 or has_effects(enqueued)

    def tell(self, app: Celery, enqueued: Enqueued) -> None:
        """Wake a worker for the job if it is the first, and tell what it did to others.

        A failure is logged: the job is in, and what is left the sweeper sees to.
        """
        see_to_others(app, self.shared, self.mailbox.keys, enqueued)
        if enqueued.position == 0:
            self._publish_wakeup(app)

    def _publish_wakeup(self, app: Celery) -> None:
        passing(CrashPoint.ENQUEUED)
        kwargs = wakeup_kwargs(self.mailbox.keys, self.job.max_history)
        try:
            publish(app, self.job_id, kwargs, self.envelope.publish)
        except OperationalError as exc:
            logger.warning("wake-up of job %s not published: %s", self.job_id, exc)

    def not_confirmed(self, error: MemoryUnavailable) -> NotAccepted:
        """The error for a job of which it is not known whether it is in."""
        return NotAccepted(
            f"Redis did not confirm job {self.job_id}, which may be in or not ({error}). "
            "Send it again with this task_id: it cannot be doubled"
        )


def checked_job(args: Sequence[object], kwargs: Mapping[str, object]) -> ChatJob:
    """The job that these arguments of `chat_task` describe. Raises InvalidJob."""
    try:
        bound = _ARGUMENTS.bind(*args, **kwargs).arguments
    except TypeError as exc:
        raise InvalidJob(f"chat_task(agent_id, session_id, message, **options): {exc}") from None
    named = {**bound.pop("options", {}), **bound}
    settings = services().settings
    job = ChatJob.checked(named, max_message_bytes=settings.queue.max_message_bytes)
    if job.images:
        check_images(
            job.images, max_count=settings.queue.max_images, max_bytes=settings.max_image_bytes
        )
    return job


def prepare(job: ChatJob, job_id: str, options: Mapping[str, object]) -> Submission:
    """What is to be sent for a job. Raises InvalidJob for options that it cannot take along."""
    shared = services()
    return Submission(
        shared=shared,
        mailbox=Mailbox.of(shared.keyspace, job.agent_id, job.session_id),
        job=job,
        job_id=job_id,
        envelope=Envelope(job=job, publish=publish_options(options)),
    )


def submit(app: Celery, job: ChatJob, job_id: str, options: Mapping[str, object]) -> None:
    """Put a job into its session's mailbox; wake a worker if it is first there.

    When this returns, the job is in. Safe to repeat with the same `job_id`. Raises InvalidJob,
    SessionBusy, memory.Backpressure, memory.MemoryFull (not in, for certain) or NotAccepted (not
    known).
    """
    submission = prepare(job, job_id, options)
    try:
        enqueued = submission.shared.memory.run_last(*submission.calls())
    except MemoryUnavailable as exc:
        raise submission.not_confirmed(exc) from exc
    if submission.is_to_be_told(enqueued):
        submission.tell(app, enqueued)


def publish_options(options: Mapping[str, object]) -> dict[str, JsonValue]:
    """The Celery options that travel with the job. Raises InvalidJob for one that cannot."""
    given = {name: value for name, value in options.items() if value not in (None, [], {})}
    refused = sorted(_REFUSED & given.keys())
    if refused:
        raise InvalidJob(
            f"chat_task keeps the order of a session and takes no {', '.join(refused)}: "
            "send the job when it is due"
        )
    if given.get("serializer", "json") != "json":
        raise InvalidJob("chat jobs travel as JSON: leave serializer out")
    kept = {name: value for name, value in given.items() if name not in _LOCAL}
    try:
        plain: dict[str, JsonValue] = json.loads(json.dumps(kept))
    except (TypeError, ValueError):
        raise InvalidJob("the Celery options of a chat job must be JSON values") from None
    return plain

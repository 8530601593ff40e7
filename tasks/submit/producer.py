"""The producer's side: a job goes into its session's mailbox, and its wake-up to the broker."""

import inspect
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from celery import Celery

from memory import (
    Command,
    Connection,
    Enqueued,
    Intake,
    Keyspace,
    Mailbox,
    MemoryServiceError,
    MemoryUnavailable,
    Priority,
    Request,
    index,
    users,
)
from memory.redis.steps import run_steps
from tasks.end.callbacks import packed_callbacks
from tasks.end.delivery import Delivery, deliver_ends
from tasks.errors import InvalidJob
from tasks.job.deadline import expires_at
from tasks.job.due_time import wait_ms as wait_ms_until
from tasks.job.envelope import Envelope
from tasks.job.images import check_images
from tasks.job.job import ChatJob
from tasks.job.priority import priority_of
from tasks.process.app import app
from tasks.process.configuration import Settings
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.per_process import PerProcess
from tasks.process.queue_wait import QueueWait
from tasks.process.redis_clock import redis_clock, redis_clock_s
from tasks.process.services import producer_services
from tasks.process.wakeup import wake_job, wake_jobs
from tasks.submit.admission import Admission
from tasks.submit.cancel import announce_stop
from tasks.submit.submission import Submission
from webhooks.errors import BadAddress

logger = logging.getLogger(__name__)

_ARGUMENTS = inspect.signature(lambda agent_id, session_id, message, **options: None)
_NAMES = ("agent_id", "session_id", "message")


class Producer:
    """Puts jobs into their sessions' mailboxes and wakes workers for them; from any thread."""

    def __init__(
        self,
        app: Celery,
        memory: Connection,
        keyspace: Keyspace,
        settings: Settings,
        queue_wait: QueueWait,
    ) -> None:
        self._app = app
        self._memory = memory
        self._keyspace = keyspace
        self._settings = settings
        self._queue_wait = queue_wait
        self._delivery = Delivery(app)
        self.admission = Admission(keyspace, settings)

    def now_s(self) -> float:
        """Redis' time, Unix seconds, by which all that a sender says in seconds from now counts. It
        is asked for where no answer has told it yet; blocking.

        Where Redis does not say, that of this machine: the sending will show that it is away.
        """
        clock = redis_clock()
        if clock.now_s is None:
            with suppress(MemoryServiceError):
                clock.set_ms(self._memory.run(index.server_time_ms()))
        return clock.best_s

    def checked(
        self,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        clock: Callable[[], float] | None = None,
    ) -> ChatJob:
        """The job that these arguments of `chat_task` describe; `clock` says the time instead of
        `now_s`, where nothing may block. Raises InvalidJob."""
        queue = self._settings.queue
        named = _named(args, kwargs)
        if named.get("expires") is not None:
            # A moment needs no clock but to be bounded.
            is_moment = not isinstance(named["expires"], int | float)
            said = clock or (redis_clock_s if is_moment else self.now_s)
            named["expires"] = expires_at(named["expires"], now_s=said())
        is_rabbitmq = self._settings.is_rabbitmq
        named["priority"] = priority_of(named.get("priority"), is_rabbitmq=is_rabbitmq)
        job = ChatJob.checked(named, max_message_bytes=queue.max_message_bytes)
        if job.model is not None and self._settings.knows_models:
            self._settings.allowed_models.check(job.model)
        if job.images:
            max_bytes = self._settings.max_image_bytes
            check_images(job.images, max_count=queue.max_images, max_bytes=max_bytes)
        return self._with_profile(job)

    def _with_profile(self, job: ChatJob) -> ChatJob:
        """The job with its own webhook and priority, or those of its agent's profile. Raises
        InvalidJob."""
        profile = self._settings.profiles.of(job.agent_id)
        of_profile: dict[str, object] = {}
        if job.priority is None and profile.priority is not Priority.NORMAL:
            of_profile["priority"] = profile.priority
        if job.webhook is None and profile.webhook:
            of_profile["webhook"] = profile.webhook
        try:
            if job.webhook is not None:
                self._settings.webhooks.allowed.check(job.webhook)
        except BadAddress as exc:
            raise InvalidJob(f"webhook: {exc}") from None
        return job.model_copy(update=of_profile) if of_profile else job

    def submission(
        self,
        envelope: Envelope,
        job_id: str,
        *,
        cap: int | None = None,
        delayed_as: Request | None = None,
    ) -> Submission:
        """What is to be sent for a job; at most `cap` jobs (CHAT_MAX_PENDING) may be pending.

        `delayed_as` is the request of a job that was delayed and is due. Raises InvalidJob for one
        that is too large with all its options, or is due in more than a year.
        """
        job = envelope.job
        mailbox = Mailbox.of(self._keyspace, job.agent_id, job.session_id)
        intake = self._intake(envelope, job_id, cap, delayed_as or job.request)
        if job.not_before is not None and delayed_as is None:
            intake = _delayed(intake, job.not_before)
        # The indexes go along with every job: a mailbox that falls off the due list is found by it
        # (docs/decisions.md, "Strays are found in the session index"), and by its user.
        look, take_in = mailbox.take_in(intake, grace_ms=self._queue_wait.grace_ms)
        first: tuple[Command[object], ...] = (
            *(() if job.user is None else users.touch(self._keyspace, job.user, mailbox.keys)),
            *index.touch(self._keyspace, job.agent_id, job.session_id),
            redis_clock().read_by(look),
        )
        commands: tuple[*tuple[Command[object], ...], Command[Enqueued]] = (*first, take_in)
        claim = mailbox.claim(intake)
        return Submission(job, job_id, envelope, mailbox.keys, intake, commands, claim)

    def _intake(self, envelope: Envelope, job_id: str, cap: int | None, request: Request) -> Intake:
        settings = self._settings
        return Intake(
            job_id=job_id,
            envelope=envelope.pack(most_bytes=settings.max_envelope_bytes),
            cap=settings.queue.max_pending if cap is None else cap,
            on_busy=envelope.job.on_busy,
            request=request,
            merged_bytes=settings.queue.max_message_bytes,
            merged_envelope_bytes=settings.max_envelope_bytes,
            ttl_s=settings.ttl_of(envelope.job.agent_id),
            priority=envelope.job.priority or Priority.NORMAL,
            callbacks=packed_callbacks(
                job_id, envelope.publish, webhook=envelope.job.webhook, trace=envelope.trace
            ),
        )

    def submit(self, submission: Submission) -> None:
        """Put a job into its session's mailbox; wake a worker if it is the head.

        When this returns, the job is in. Safe to repeat with the same id. Raises InvalidJob,
        SessionBusy, JobConflict, LimitReached, QuotaExceeded, memory.Backpressure,
        memory.MemoryFull (not in, for certain) or NotAccepted (not known).
        """
        try:
            enqueued = run_steps(self._memory, self.admission.take_in(submission))
        except MemoryUnavailable as exc:
            raise submission.not_confirmed(exc) from exc
        self.follow_up(submission, enqueued)

    def follow_up(self, submission: Submission, enqueued: Enqueued) -> None:
        """See to the others that the job replaces, and wake a worker if the job is the head.

        A failure is logged: the job is in, and the sweeper sees to what is left.
        """
        self.apply_effects(submission, enqueued)
        if enqueued.position == 0:
            crash_if_armed(CrashPoint.ENQUEUED)
            wake_job(self._app, submission.keys, submission.job_id, submission.envelope)

    def wake_heads(self, submissions: Sequence[Submission]) -> None:
        """Wake workers for some jobs that are the heads of their mailboxes. A failure is logged:
        the sweeper wakes them."""
        crash_if_armed(CrashPoint.ENQUEUED)
        wake_jobs(self._app, [(one.keys, one.job_id, one.envelope) for one in submissions])

    def apply_effects(self, submission: Submission, enqueued: Enqueued) -> None:
        """Stop and wake the jobs that a new one has an effect on, and deliver the ends of those
        that it has ended. Safe to repeat.

        A failure is logged and harmless: each renewal of a lease looks whether its job is to stop,
        and the sweeper wakes and delivers.
        """
        keys = submission.keys
        # What the script did is noted in the mailbox too, so a sender that dies here loses nothing
        # (docs/decisions.md, "One outbox").
        if enqueued.stopping:
            announce_stop(self._memory, self._keyspace, enqueued.stopping)
        if enqueued.wake:
            # Named after the new job: a producer may not read the head, which is to stop, or is as
            # urgent as this now. Who takes it finds the head, and wakes that where it belongs.
            job, priority = submission.job_id, submission.intake.priority
            wake_job(self._app, keys, job, submission.envelope, priority=priority)
        if enqueued.ended:
            claim_ms = self._queue_wait.grace_ms
            deliver_ends(
                self._delivery,
                self._memory,
                self._keyspace,
                keys,
                owner=submission.intake.owner,
                claim_ms=claim_ms,
            )


def _named(args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
    """The arguments of `chat_task` by name. Raises InvalidJob."""
    named = {**dict(zip(_NAMES, args, strict=False)), **kwargs}
    if len(args) > 3 or len(named) < len(args) + len(kwargs) or not named.keys() >= set(_NAMES):
        # Python finds the words for it.
        try:
            _ARGUMENTS.bind(*args, **kwargs)
        except TypeError as exc:
            call = "chat_task(agent_id, session_id, message, **options)"
            raise InvalidJob(f"{call}: {exc}") from None
    return named


def _delayed(intake: Intake, not_before: float) -> Intake:
    """The same, to be kept until then, if that is to come."""
    now_s = redis_clock().now_s
    wait_ms = wait_ms_until(not_before, now_s=now_s or time.time())
    if wait_ms == 0:
        return intake
    # Of two clocks that differ the server's counts: who does not know it has it looked at soon.
    look_ms = 0 if now_s is None else wait_ms
    due_ms = math.ceil(not_before * 1000)
    return replace(intake, due_ms=due_ms, wait_ms=wait_ms, look_ms=look_ms)


def _make_producer() -> Producer:
    services = producer_services()
    return Producer(app, services.memory, services.keyspace, services.settings, services.queue_wait)


producer = PerProcess(_make_producer)
"""The producer of this process."""


def has_effects(enqueued: Enqueued) -> bool:
    """Whether a job does something to others of its session."""
    return bool(enqueued.stopping or enqueued.wake or enqueued.ended)

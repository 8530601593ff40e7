"""Dead letters: looked through, sent again, dropped."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from celery import Celery

from memory import (
    Backpressure,
    CannotRead,
    Claim,
    CorruptData,
    End,
    EnqueueOutcome,
    Event,
    EventType,
    JobToWake,
    Mailbox,
    Priority,
    Request,
    SessionKeys,
    audit,
    dead_letters,
    decrypted_envelope,
    intake,
    locate,
)
from memory.ids import shown_id
from memory.quotas import pending
from memory.quotas.job_records import NOT_LISTED
from tasks.end.callbacks import packed_callbacks
from tasks.end.delivery import Delivery
from tasks.errors import InvalidJob, JobConflict
from tasks.job.envelope import Envelope
from tasks.job.envelope_size import check_envelope_size
from tasks.job.job import ChatJob
from tasks.process.configuration import Settings
from tasks.process.redis_clock import redis_clock
from tasks.process.services import producer_services
from tasks.process.wakeup import wake
from tasks.submit.webhook_letters import drop_webhook, find_webhook_letter, requeue_webhook

logger = logging.getLogger(__name__)

SESSIONS_LISTED = 1000
REFUSALS = (InvalidJob, Backpressure, CannotRead, CorruptData)
"""What keeps one dead letter from being sent again, and says nothing of the others."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter and whose it is; `envelope` is None where it cannot be read here."""

    agent_id: str
    session_id: str
    letter: dead_letters.DeadLetter
    envelope: Envelope | None = None

    @property
    def job(self) -> ChatJob | None:
        """What was asked for."""
        return None if self.envelope is None else self.envelope.job


def all_letters() -> Iterator[Letter]:
    """All dead letters, of the session with the latest first; sessions without any are forgotten.

    At most the thousand sessions that had one last. Raises memory.MemoryServiceError.
    """
    for mailbox, found in _by_session(limit=SESSIONS_LISTED):
        yield from (_letter(mailbox.keys, one) for one in reversed(found))


def _by_session(*, limit: int = 0) -> Iterator[tuple[Mailbox, tuple[dead_letters.DeadLetter, ...]]]:
    services = producer_services()
    for keys in services.memory.run(dead_letters.sessions(services.keyspace, limit=limit)):
        mailbox = Mailbox(services.keyspace, keys)
        found = services.memory.run(dead_letters.letters(mailbox)).letters
        if not found:
            services.memory.run(dead_letters.forget(mailbox))
        yield mailbox, found


def letter_of(job_id: str) -> Letter:
    """The dead letter of a job. Raises InvalidJob where there is none."""
    return _found(job_id)[1]


def agent_of_letter(letter_id: str) -> str:
    """The agent of a dead job, or of a webhook that was given up by its event's id. Raises
    InvalidJob where there is none."""
    webhook = find_webhook_letter(letter_id)
    return letter_of(letter_id).agent_id if webhook is None else webhook.agent_id


def requeue(app: Celery, job_id: str) -> str:
    """Send a dead job again, at the end of its session; the new id. Safe to repeat.

    The job gets a new id, because the old one stays marked as done. The old id leads to the new
    one: `follow_job` ends with `merged` and the new id, `get` waits for the new result. Raises
    InvalidJob where there is no such letter, or where it would be refused again for its size or its
    model; memory.Backpressure where the session has too many jobs waiting. It is in the audit.

    Of a webhook that was given up `job_id` is its event's id, and stays it.
    """
    if (webhook := find_webhook_letter(job_id)) is not None:
        requeue_webhook(webhook)
        return job_id
    return _requeue_recorded(app, *_found(job_id))


@dataclass(frozen=True, slots=True)
class Requeued:
    """What became of a dead job: sent again as `new_id`, or refused, which leaves its letter."""

    job_id: str
    new_id: str = ""
    refusal: str = ""


def requeue_all(app: Celery, is_chosen: Callable[[Letter], bool]) -> Iterator[Requeued]:
    """Send all chosen dead jobs again, one with each step; those of a session in their old order.

    Stop between two steps at any time; safe to repeat. A job that is refused is reported, and the
    others go on. Raises memory.MemoryServiceError where Redis cannot do more.
    """
    for mailbox, found in _by_session():
        for one in sorted(found, key=lambda letter: letter.seq_us):
            letter = _letter(mailbox.keys, one)
            if not is_chosen(letter):
                continue
            try:
                new_id = _requeue_recorded(app, mailbox, letter)
            except REFUSALS as exc:
                yield Requeued(one.job_id, refusal=str(exc))
            else:
                yield Requeued(one.job_id, new_id)


def _requeue_recorded(app: Celery, mailbox: Mailbox, found: Letter) -> str:
    with _recorded(audit.Deed.REQUEUE, found) as entry:
        new_id = _requeue(app, mailbox, found)
        entry.outcome = f"requeued as {new_id}"
    return new_id


def _requeue(app: Celery, mailbox: Mailbox, found: Letter) -> str:
    services, job_id = producer_services(), found.letter.job_id
    _check(mailbox.keys, found, services.settings)
    request = found.job.request if found.job else Request()
    again = _as_sent(mailbox.keys, found, request, services.settings)
    new_id, claim = again.job_id, mailbox.claim(again)
    taken = JobConflict(
        f"{job_id} would be sent again as {new_id}, but that id belongs to another job: drop it"
    )
    if claim is not None and services.memory.run(claim) is Claim.CONFLICT:
        raise taken
    calls = mailbox.take_in(again, grace_ms=services.queue_wait.grace_ms)
    # It counts, and is charged to nobody: its owners have paid for it once.
    user = found.job.user if found.job else None
    key = found.envelope.key if found.envelope else None
    owners = services.settings.owners_of(found.agent_id, user, key)
    listed = services.settings.listed(found.job) if found.job else NOT_LISTED
    note = pending.note(services.keyspace, new_id, owners, listed=listed)
    enqueued = services.memory.run_last(note, *calls)
    if enqueued.outcome in (EnqueueOutcome.FULL, EnqueueOutcome.DONE):
        services.memory.run(pending.release(services.keyspace, (new_id,)))
    if enqueued.outcome is EnqueueOutcome.FULL:
        raise Backpressure(found.agent_id, found.session_id, enqueued.pending)
    if enqueued.outcome is EnqueueOutcome.CONFLICT:
        raise taken
    if enqueued.position == 0 or enqueued.wake:
        # Who takes it as another's that is as urgent now finds the head, and wakes that.
        wake(app, mailbox.keys, JobToWake(new_id, again.envelope, again.priority))
    services.memory.run(intake.lead_on(mailbox.keys, job_id, request, new_id))
    _lead_result_on(app, mailbox.keys, job_id, new_id)
    services.memory.run(dead_letters.drop(mailbox, found.letter))
    return new_id


def _as_sent(
    keys: SessionKeys, found: Letter, request: Request, settings: Settings
) -> intake.Intake:
    return dead_letters.requeued(
        keys,
        found.letter,
        request=request,
        callbacks=_callbacks(keys, found.letter),
        cap=settings.queue.max_pending,
        ttl_s=settings.ttl_of(found.agent_id),
        priority=(found.job and found.job.priority) or Priority.NORMAL,
    )


def _lead_result_on(app: Celery, keys: SessionKeys, job_id: str, new_id: str) -> None:
    """Whoever asks for the result of the old id gets that of the new one, as of a merged job."""
    delivery = Delivery(app)
    merged = Event(EventType.MERGED, job_id, 0, data={"into": new_id})
    try:
        delivery.deliver(keys, End(job_id, merged))
    except delivery.refusals as exc:
        logger.warning("job %s is sent again, but its old result stays: %s", shown_id(job_id), exc)


def _check(keys: SessionKeys, found: Letter, settings: Settings) -> None:
    if found.letter.too_large_bytes:
        raise InvalidJob(
            f"dead letter {shown_id(found.letter.job_id)} cannot be sent again: its envelope of "
            f"{found.letter.too_large_bytes} bytes was over CHAT_MAX_ENVELOPE_BYTES and was not "
            "kept; drop it"
        )
    packed = decrypted_envelope(keys, found.letter.job_id, found.letter.envelope)
    check_envelope_size(len(packed), settings.max_envelope_bytes)
    expires = found.job.expires if found.job else None
    if expires is not None and expires <= redis_clock().best_s:
        raise InvalidJob(
            f"dead letter {shown_id(found.letter.job_id)} cannot be sent again: its job has "
            "expired; drop it"
        )
    model = found.job.model if found.job else None
    if model is not None and settings.knows_models:
        settings.allowed_models.check(model)


def drop(job_id: str) -> None:
    """Remove the dead letter of a job, or of a webhook by its event's id, for good. Raises
    InvalidJob where there is none. It is in the audit."""
    if (webhook := find_webhook_letter(job_id)) is not None:
        drop_webhook(webhook)
        return
    mailbox, found = _found(job_id)
    with _recorded(audit.Deed.DROP, found) as entry:
        producer_services().memory.run(dead_letters.drop(mailbox, found.letter))
        entry.outcome = "dropped"


def _recorded(deed: audit.Deed, found: Letter) -> AbstractContextManager[audit.OngoingDeed]:
    services = producer_services()
    return audit.recorded(
        services.memory,
        services.keyspace,
        deed,
        agent_id=found.agent_id,
        session_id=found.session_id,
        job_id=found.letter.job_id,
    )


def _found(job_id: str) -> tuple[Mailbox, Letter]:
    services = producer_services()
    keys = services.memory.run(locate(services.keyspace, job_id))
    if keys is not None:
        mailbox = Mailbox(services.keyspace, keys)
        letter = services.memory.run(dead_letters.letters(mailbox)).find(job_id)
        if letter is not None:
            return mailbox, _letter(keys, letter)
    raise InvalidJob(
        f"there is no dead letter of job {shown_id(job_id)}: it never was one, was sent again, or "
        "was dropped; `griot trace` says how a job ended"
    )


def _callbacks(keys: SessionKeys, letter: dead_letters.DeadLetter) -> bytes:
    try:
        envelope = Envelope.of(keys, JobToWake(letter.job_id, letter.envelope))
    except InvalidJob:
        return b""
    return packed_callbacks(
        dead_letters.requeued_id(letter.job_id),
        envelope.publish,
        webhook=envelope.job.webhook,
        trace=envelope.trace,
        is_requeued=True,
    )


def _letter(keys: SessionKeys, letter: dead_letters.DeadLetter) -> Letter:
    return Letter(keys.agent_id, keys.session_id, letter, _envelope(keys, letter))


def _envelope(keys: SessionKeys, letter: dead_letters.DeadLetter) -> Envelope | None:
    try:
        return Envelope.of(keys, JobToWake(letter.job_id, letter.envelope))
    except (InvalidJob, CannotRead):
        return None

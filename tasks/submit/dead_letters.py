"""Dead letters: looked through, sent again, dropped."""

from collections.abc import Iterator
from dataclasses import dataclass

from celery import Celery

from memory import (
    Backpressure,
    Claim,
    EnqueueOutcome,
    JobToWake,
    Mailbox,
    Request,
    dead_letters,
    locate,
)
from tasks.end.callbacks import packed_callbacks
from tasks.errors import InvalidJob, JobConflict
from tasks.job.envelope import Envelope
from tasks.job.envelope_size import check_envelope_size
from tasks.job.job import ChatJob
from tasks.process.configuration import Settings
from tasks.process.services import producer_services
from tasks.process.wakeup import wake

SESSIONS_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter and whose it is; `job` is None where its envelope cannot be read."""

    agent_id: str
    session_id: str
    letter: dead_letters.DeadLetter
    job: ChatJob | None


def all_letters() -> Iterator[Letter]:
    """All dead letters, of the session with the latest first; sessions without any are forgotten.

    At most the thousand sessions that had one last. Raises memory.MemoryServiceError.
    """
    services = producer_services()
    for keys in services.memory.run(
        dead_letters.sessions(services.keyspace, limit=SESSIONS_LISTED)
    ):
        mailbox = Mailbox(services.keyspace, keys)
        found = services.memory.run(dead_letters.letters(mailbox)).letters
        if not found:
            services.memory.run(dead_letters.forget(mailbox))
        for letter in reversed(found):
            yield Letter(keys.agent_id, keys.session_id, letter, _job(letter))


def letter_of(job_id: str) -> Letter:
    """The dead letter of a job. Raises InvalidJob where there is none."""
    return _found(job_id)[1]


def requeue(app: Celery, job_id: str) -> str:
    """Send a dead job again, at the end of its session; the new id. Safe to repeat.

    A new id, for the old one stays marked as done. Raises InvalidJob where there is no such letter,
    or where it would be refused again for its size or its model; memory.Backpressure where the
    session has too many jobs waiting.
    """
    services = producer_services()
    mailbox, found = _found(job_id)
    _check(found, services.settings)
    intake = dead_letters.requeued(
        found.letter,
        request=found.job.request if found.job else Request(),
        callbacks=_callbacks(found.letter),
        cap=services.settings.queue.max_pending,
    )
    new_id, claim = intake.job_id, mailbox.claim(intake)
    taken = JobConflict(f"{job_id} would come back as {new_id}, which is another job: drop it")
    if claim is not None and services.memory.run(claim) is Claim.CONFLICT:
        raise taken
    calls = mailbox.take_in(intake, grace_ms=services.queue_wait.grace_ms)
    enqueued = services.memory.run_last(*calls)
    if enqueued.outcome is EnqueueOutcome.FULL:
        raise Backpressure(found.agent_id, found.session_id, enqueued.pending)
    if enqueued.outcome is EnqueueOutcome.CONFLICT:
        raise taken
    if enqueued.position == 0:
        wake(app, mailbox.keys, JobToWake(new_id, found.letter.envelope))
    services.memory.run(dead_letters.drop(mailbox, found.letter))
    return new_id


def _check(found: Letter, settings: Settings) -> None:
    check_envelope_size(len(found.letter.envelope), settings.max_envelope_bytes)
    model = found.job.model if found.job else None
    if model is not None and settings.knows_models:
        settings.allowed_models.check(model)


def drop(job_id: str) -> None:
    """Remove the dead letter of a job for good. Raises InvalidJob where there is none."""
    mailbox, found = _found(job_id)
    producer_services().memory.run(dead_letters.drop(mailbox, found.letter))


def _found(job_id: str) -> tuple[Mailbox, Letter]:
    services = producer_services()
    keys = services.memory.run(locate(services.keyspace, job_id))
    if keys is not None:
        mailbox = Mailbox(services.keyspace, keys)
        letter = services.memory.run(dead_letters.letters(mailbox)).find(job_id)
        if letter is not None:
            return mailbox, Letter(keys.agent_id, keys.session_id, letter, _job(letter))
    raise InvalidJob(f"there is no dead letter of a job {job_id}")


def _callbacks(letter: dead_letters.DeadLetter) -> bytes:
    try:
        options = Envelope.unpack(letter.envelope).publish
    except InvalidJob:
        return b""
    return packed_callbacks(dead_letters.requeued_id(letter.job_id), options, is_requeued=True)


def _job(letter: dead_letters.DeadLetter) -> ChatJob | None:
    try:
        return Envelope.unpack(letter.envelope).job
    except InvalidJob:
        return None

"""Dead letters: looked through, sent again, dropped."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from celery import Celery

from memory import (
    Backpressure,
    CannotDecrypt,
    Claim,
    EnqueueOutcome,
    JobToWake,
    Mailbox,
    Request,
    SessionKeys,
    audit,
    dead_letters,
    decrypted_envelope,
    locate,
)
from memory.ids import shown_id
from memory.quotas import pending
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
    """A dead letter and whose it is; `job` is None where its envelope cannot be read here."""

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
            yield Letter(keys.agent_id, keys.session_id, letter, _job(keys, letter))


def letter_of(job_id: str) -> Letter:
    """The dead letter of a job. Raises InvalidJob where there is none."""
    return _found(job_id)[1]


def requeue(app: Celery, job_id: str) -> str:
    """Send a dead job again, at the end of its session; the new id. Safe to repeat.

    A new id, for the old one stays marked as done. Raises InvalidJob where there is no such letter,
    or where it would be refused again for its size or its model; memory.Backpressure where the
    session has too many jobs waiting. It is in the audit.
    """
    mailbox, found = _found(job_id)
    with _recorded(audit.Deed.REQUEUE, found) as entry:
        new_id = _requeue(app, mailbox, found)
        entry.outcome = f"requeued as {new_id}"
    return new_id


def _requeue(app: Celery, mailbox: Mailbox, found: Letter) -> str:
    services, job_id = producer_services(), found.letter.job_id
    _check(mailbox.keys, found, services.settings)
    intake = dead_letters.requeued(
        mailbox.keys,
        found.letter,
        request=found.job.request if found.job else Request(),
        callbacks=_callbacks(mailbox.keys, found.letter),
        cap=services.settings.queue.max_pending,
    )
    new_id, claim = intake.job_id, mailbox.claim(intake)
    taken = JobConflict(
        f"{job_id} would be sent again as {new_id}, but that id belongs to another job: drop it"
    )
    if claim is not None and services.memory.run(claim) is Claim.CONFLICT:
        raise taken
    calls = mailbox.take_in(intake, grace_ms=services.queue_wait.grace_ms)
    # It counts, and is charged to nobody: its owners have paid for it once.
    user = found.job.user if found.job else None
    owners = services.settings.owners_of(found.agent_id, user)
    enqueued = services.memory.run_last(pending.note(services.keyspace, new_id, owners), *calls)
    if enqueued.outcome in (EnqueueOutcome.FULL, EnqueueOutcome.DONE):
        services.memory.run(pending.release(services.keyspace, (new_id,)))
    if enqueued.outcome is EnqueueOutcome.FULL:
        raise Backpressure(found.agent_id, found.session_id, enqueued.pending)
    if enqueued.outcome is EnqueueOutcome.CONFLICT:
        raise taken
    if enqueued.position == 0:
        wake(app, mailbox.keys, JobToWake(new_id, intake.envelope))
    services.memory.run(dead_letters.drop(mailbox, found.letter))
    return new_id


def _check(keys: SessionKeys, found: Letter, settings: Settings) -> None:
    packed = decrypted_envelope(keys, found.letter.job_id, found.letter.envelope)
    check_envelope_size(len(packed), settings.max_envelope_bytes)
    model = found.job.model if found.job else None
    if model is not None and settings.knows_models:
        settings.allowed_models.check(model)


def drop(job_id: str) -> None:
    """Remove the dead letter of a job for good. Raises InvalidJob where there is none. It is in the
    audit."""
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
            return mailbox, Letter(keys.agent_id, keys.session_id, letter, _job(keys, letter))
    raise InvalidJob(f"there is no dead letter of job {shown_id(job_id)}")


def _callbacks(keys: SessionKeys, letter: dead_letters.DeadLetter) -> bytes:
    try:
        options = Envelope.of(keys, JobToWake(letter.job_id, letter.envelope)).publish
    except InvalidJob:
        return b""
    return packed_callbacks(dead_letters.requeued_id(letter.job_id), options, is_requeued=True)


def _job(keys: SessionKeys, letter: dead_letters.DeadLetter) -> ChatJob | None:
    try:
        return Envelope.of(keys, JobToWake(letter.job_id, letter.envelope)).job
    except (InvalidJob, CannotDecrypt):
        return None

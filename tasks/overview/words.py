"""What was said in the turn of a job, for whoever may read it; that they did is in the audit."""

from collections.abc import Iterable
from dataclasses import dataclass

from memory import (
    CannotRead,
    Connection,
    JobToWake,
    Keyspace,
    Mailbox,
    SessionKeys,
    audit,
    dead_letters,
    decode_messages,
    locate,
)
from memory.mailbox import looks
from memory.mailbox.mailbox import REPLY_SEARCH_MESSAGES
from memory.records.history import elements
from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope

MOST_CHARS = 100_000
"""Of one message."""
UNREADABLE = "(it cannot be read here)"


@dataclass(frozen=True, slots=True)
class SaidMessage:
    """One message of a turn."""

    role: str
    text: str


def words_of(memory: Connection, keyspace: Keyspace, job_id: str) -> tuple[SaidMessage, ...]:
    """The messages of a job's turn, or the one that waits; none where nothing is kept of it.

    It is in the audit before anything is read. Raises InvalidJob for an id that nobody knows, and
    MemoryServiceError.
    """
    keys = memory.run(locate(keyspace, job_id))
    if keys is None:
        raise InvalidJob("there is no job with this id")
    session = {"agent_id": keys.agent_id, "session_id": keys.session_id}
    with audit.recorded(memory, keyspace, audit.Deed.READ, **session, job_id=job_id) as entry:
        found = _found(memory, Mailbox(keyspace, keys), job_id)
        entry.outcome = f"read: {len(found)} messages"
    return found


def _found(memory: Connection, mailbox: Mailbox, job_id: str) -> tuple[SaidMessage, ...]:
    keys = mailbox.keys
    if (waiting := memory.run(looks.stored(keys, job_id))) is not None:
        return (_question(keys, waiting),)
    if (letter := memory.run(dead_letters.letters(mailbox)).find(job_id)) is not None:
        return (_question(keys, JobToWake(job_id, letter.envelope)),)
    return tuple(_turn(memory.run(elements(keys, -REPLY_SEARCH_MESSAGES, -1)), job_id))


def _question(keys: SessionKeys, stored: JobToWake) -> SaidMessage:
    try:
        return SaidMessage("user", Envelope.of(keys, stored).job.message[:MOST_CHARS])
    except (InvalidJob, CannotRead):
        return SaidMessage("user", UNREADABLE)


def _turn(messages: Iterable[bytes], job_id: str) -> Iterable[SaidMessage]:
    for message in messages:
        # Cheaper than decoding what is of other turns.
        if b'"job_id"' not in message:
            continue
        for fields in decode_messages((message,)).messages:
            if fields.get("job_id") == job_id:
                text = str(fields.get("content") or "")
                yield SaidMessage(str(fields["role"]), text[:MOST_CHARS])

"""Following a job or a session from any process: its events as they come, from any cursor."""

from collections.abc import Iterator

from memory import (
    Connection,
    Event,
    EventType,
    Mailbox,
    SessionKeys,
    decode_messages,
    events,
    locate,
)
from tasks.errors import InvalidJob
from tasks.wiring import services

READ_EVENTS = 500
BLOCK_MS = 500
ENDINGS = frozenset({EventType.DONE, EventType.FAILED})


def follow(agent_id: str, session_id: str, after: str | None = None) -> Iterator[Event]:
    """The events of a session as they come, without end: stop iterating when you have enough.

    They begin after the cursor `after`, or with what happens from now on. Any number of clients
    may follow; a slow one delays nobody. Raises memory.MemoryServiceError.
    """
    shared = services()
    keys = shared.keyspace.session(agent_id, session_id)
    cursor = shared.memory.run(events.last_cursor(keys)) if after is None else after
    while True:
        for event in _read(shared.memory, keys, cursor):
            cursor = event.cursor
            yield event


def follow_job(job_id: str, after: str | None = None) -> Iterator[Event]:
    """The events of one job from the cursor `after` (default: from its first), until it ends.

    The last one is `done`, with the result in `data`, or `failed`. A job that has ended and whose
    events are gone gives one `done` from the history. Raises InvalidJob for an id that nobody
    knows.
    """
    shared = services()
    keys = shared.memory.run(locate(shared.keyspace, job_id))
    if keys is None:
        raise InvalidJob(f"job {job_id} is not known: never sent, or longer ago than a week")
    cursor = after or events.FROM_START
    while True:
        found = _read(shared.memory, keys, cursor)
        for event in found:
            cursor = event.cursor
            if event.job_id == job_id:
                yield event
                if event.type in ENDINGS:
                    return
        if not found and (ending := _ending(shared.memory, keys, job_id)) is not None:
            yield ending
            return


def _read(memory: Connection, keys: SessionKeys, cursor: str) -> list[Event]:
    block_ms = min(BLOCK_MS, int(memory.timeout_s * 500))
    return memory.run(events.read(keys, cursor, count=READ_EVENTS, block_ms=block_ms))


def _ending(memory: Connection, keys: SessionKeys, job_id: str) -> Event | None:
    """How a job ended whose last event never came; None while it has not ended."""
    mailbox = Mailbox(services().keyspace, keys)
    is_committed = memory.run(mailbox.is_committed(job_id))
    if is_committed is None:
        return None
    if not is_committed:
        return Event(EventType.FAILED, job_id, 0)
    stored = memory.run(mailbox.reply_of(job_id))
    reply = decode_messages([stored] if stored else []).messages
    text = str(reply[0]["content"]) if reply else ""
    return Event(EventType.DONE, job_id, 0, text=text)

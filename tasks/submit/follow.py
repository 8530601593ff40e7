"""Following a job or a session from any process: its events as they come, from any cursor."""

from collections.abc import Iterator

from memory import Connection, End, Event, EventType, SessionKeys, events, locate
from memory.ids import shown_id
from tasks.errors import InvalidJob
from tasks.process.services import producer_services
from tasks.submit.followers import JobFollower, SessionFollower, lost, start_cursor
from tasks.submit.last_event import LastEvent

BLOCK_MS = 500
NO_WAIT_MS = 1


def follow(agent_id: str, session_id: str, after: str | None = None) -> Iterator[Event]:
    """The events of a session as they come, without end: stop iterating when you have enough.

    They begin after the cursor `after`, or with what happens from now on. Any number of clients
    may follow; a slow one delays nobody. Raises memory.CursorExpired where events after the cursor
    are no longer kept, at the start or because the client was too slow, and where the cursor lies
    beyond all events (it is of another Redis, or this one lost some); and
    memory.MemoryServiceError.
    """
    services = producer_services()
    keys = services.keyspace.session(agent_id, session_id)
    cursor = services.memory.run(events.last_cursor(keys.events)) if after is None else after
    follower = SessionFollower(keys, cursor)
    services.memory.run_all(events.check_cursor(keys, cursor), events.check_not_ahead(keys, cursor))
    while True:
        yield from follower.take(_read(services.memory, follower, BLOCK_MS))


def follow_job(job_id: str, after: str | None = None) -> Iterator[Event]:
    """The events of one job from the cursor `after` (default: from its first), until it ends.

    The last one is `done`, with the reply in `text` and the result in `data`; `failed`;
    `cancelled`; `erased`; or `merged`, with the job that answers instead in `data["into"]`. A job
    that failed and was sent again (`griot dead-letters requeue`) ends with `merged` too. Of a job
    that has ended and whose events are gone only the last event comes, made from what is kept of
    it. Raises InvalidJob for an unknown id, JobFailed where the job was lost meanwhile (Redis was
    emptied); otherwise as `follow`.
    """
    services = producer_services()
    follower = JobFollower(services.keyspace, _keys_of(job_id), job_id, start_cursor(after))
    if after is not None:
        services.memory.run_all(
            events.check_cursor(follower.keys, after), events.check_not_ahead(follower.keys, after)
        )
    block_ms = NO_WAIT_MS
    while not follower.is_over:
        found = _read(services.memory, follower, block_ms)
        block_ms = BLOCK_MS
        if not found:
            is_pending, is_committed = services.memory.run_all(*follower.last.standing())
            if not follower.is_known_over(is_pending=is_pending, is_committed=is_committed):
                continue
            found = _read(services.memory, follower, NO_WAIT_MS)
            if not found:
                answers = services.memory.run_each(follower.last.lookup())
                yield follower.conclusion(answers, is_committed=bool(is_committed))
        for event in follower.take(found):
            yield _led_on(services.memory, follower, event)


def last_end(job_id: str) -> tuple[SessionKeys, End] | None:
    """How a job has ended, from what is kept of it; None: it is not over, or nobody knows it any
    more. Raises memory.MemoryServiceError."""
    services = producer_services()
    keys = services.memory.run(locate(services.keyspace, job_id))
    if keys is None:
        return None
    last = LastEvent(services.keyspace, keys, job_id)
    _, is_committed = services.memory.run_all(*last.standing())
    if is_committed is None:
        return None
    answers = services.memory.run_each(last.lookup())
    return keys, End(job_id, last.found(answers, is_committed=is_committed))


def check_kept(job_id: str) -> None:
    """Raise JobFailed where nothing is kept of a job that was taken in, and
    memory.MemoryServiceError."""
    services = producer_services()
    keys = services.memory.run(locate(services.keyspace, job_id))
    if keys is not None:
        last = LastEvent(services.keyspace, keys, job_id)
        is_pending, is_committed = services.memory.run_all(*last.standing())
        if is_pending or is_committed is not None:
            return
    raise lost(job_id)


def _keys_of(job_id: str) -> SessionKeys:
    services = producer_services()
    keys = services.memory.run(locate(services.keyspace, job_id))
    if keys is None:
        raise unknown_job(job_id)
    return keys


def _led_on(memory: Connection, follower: JobFollower, event: Event) -> Event:
    if event.type is not EventType.FAILED:
        return event
    return follower.last.led_on(event, memory.run(follower.last.replacement()))


def unknown_job(job_id: str) -> InvalidJob:
    """The error for an id that nobody knows."""
    return InvalidJob(f"no such job, or it is over a week old: {shown_id(job_id)}")


def _read(memory: Connection, follower: SessionFollower, block_ms: int) -> list[Event]:
    # Well below the time in which an answer must come.
    block_ms = min(block_ms, int(memory.timeout_s * 500))
    found = memory.run(events.read(follower.keys, follower.cursor, block_ms=block_ms))
    if events.may_have_gap(found):
        memory.run(events.check_cursor(follower.keys, follower.cursor))
    elif not found:
        memory.run(events.check_not_ahead(follower.keys, follower.cursor))
    return found

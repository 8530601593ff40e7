"""The jobs that wait or run, page by page, and one of them by its id: what keeps each. No words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memory import Connection, Keyspace, Mailbox, SessionKeys, dead_letters, events, index, locate
from memory.mailbox import looks
from memory.mailbox.delayed import due_at_ms
from memory.mailbox.looks import HeadLook, Why
from memory.records.events import NEWEST
from memory.records.index import Entry
from memory.redis.command import ignore_corrupt
from tasks.overview.paging import ScoreStart

AT_ONCE = 100
MOST_LOOKED_AT = 1000
"""Where nearly all jobs run, a page of those that wait may be short: it says where to go on."""
NOT_THERE = HeadLook("", Why.WAKE, 0)


@dataclass(frozen=True, slots=True)
class JobShown:
    """A job that waits or runs. `before`: so many of its session come first, `ahead` the first of
    them; `since_ms`: when it was taken in, None where it is not due yet; `until_ms`: when it is, or
    when its back-off ends."""

    job_id: str
    agent_id: str
    session_id: str
    why: Why
    before: int
    ahead: str | None
    attempts: int
    since_ms: int | None
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs that wait, the oldest first; `next`: where the next page begins, None at the end."""

    jobs: tuple[JobShown, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class EventShown:
    """An event of a job without its words: `chars` is how many there were."""

    type: str
    at_ms: int
    attempt: int
    chars: int


@dataclass(frozen=True, slots=True)
class JobFound:
    """A job that somebody asks for. `state`: what keeps it, or `done`, `dead`, `ended` (cancelled,
    merged or erased) or `lost`. `events` are its last ones, the latest first; `letter` is why it is
    dead."""

    job_id: str
    agent_id: str
    session_id: str
    state: str
    job: JobShown | None
    letter: str | None
    events: tuple[EventShown, ...]


def waiting_jobs(memory: Connection, keyspace: Keyspace, place: str, *, limit: int) -> JobPage:
    """A page of the jobs that wait. Raises InvalidInput for a `place` that is none of ours, and
    MemoryServiceError."""
    now_ms, at = memory.run(index.server_time_ms()), ScoreStart.parsed(place)
    found: list[JobShown] = []
    looked_at = 0
    while looked_at < MOST_LOOKED_AT:
        most = min(AT_ONCE, limit)
        page = memory.run(
            index.oldest(keyspace.quotas.pending_jobs, since_ms=at.score, skip=at.skip, limit=most)
        )
        looked_at += len(page)
        for entry, job in zip(page, _shown(memory, keyspace, page, now_ms), strict=True):
            at = at.behind(entry.seen_ms)
            if job is not None and job.why is not Why.RUNNING:
                found.append(job)
            if len(found) == limit:
                return JobPage(tuple(found), at.packed)
        if len(page) < most:
            return JobPage(tuple(found), None)
    return JobPage(tuple(found), at.packed)


def find_job(memory: Connection, keyspace: Keyspace, job_id: str) -> JobFound | None:
    """A job by its id; None where nobody knows it, or it ended more than a week ago. Raises
    InvalidInput for what is no id, and MemoryServiceError."""
    keys = memory.run(locate(keyspace, job_id))
    if keys is None:
        return None
    now_ms, mailbox = memory.run(index.server_time_ms()), Mailbox(keyspace, keys)
    shown = next(iter(_looks(memory, [(job_id, keys)], now_ms)), None)
    letter = memory.run(dead_letters.letters(mailbox)).find(job_id)
    committed = memory.run(mailbox.is_committed(job_id))
    last = memory.run(events.read_back(keys, NEWEST))
    return JobFound(
        job_id=job_id,
        agent_id=keys.agent_id,
        session_id=keys.session_id,
        state=_state(shown, committed, is_dead=letter is not None),
        job=shown,
        letter=None if letter is None else letter.reason,
        events=tuple(
            EventShown(one.type.value, _moment_ms(one.cursor), one.attempt, len(one.text))
            for one in last
            if one.job_id == job_id
        ),
    )


def _state(shown: JobShown | None, is_committed: bool | None, *, is_dead: bool) -> str:
    if is_committed:
        return "done"
    if is_dead:
        return "dead"
    if shown is not None:
        return shown.why.value
    return "lost" if is_committed is None else "ended"


def _shown(
    memory: Connection, keyspace: Keyspace, entries: Sequence[Entry], now_ms: int
) -> Iterator[JobShown | None]:
    """Each of these jobs; None of one that has ended meanwhile."""
    ids = [entry.member for entry in entries]
    places = memory.run_each([ignore_corrupt(locate(keyspace, one), None) for one in ids])
    known = [(one, keys) for one, keys in zip(ids, places, strict=True) if keys is not None]
    found = {job.job_id: job for job in _looks(memory, known, now_ms)}
    return (found.get(one) for one in ids)


def _looks(
    memory: Connection, jobs: Sequence[tuple[str, SessionKeys]], now_ms: int
) -> Iterator[JobShown]:
    sessions = {keys.history: keys for _, keys in jobs}
    heads = memory.run_each(
        [ignore_corrupt(looks.head(one, now_ms=now_ms), NOT_THERE) for one in sessions.values()]
    )
    of_session = dict(zip(sessions, heads, strict=True))
    ranks = memory.run_each([ignore_corrupt(looks.rank(keys, one), None) for one, keys in jobs])
    times = memory.run_each(
        [ignore_corrupt(looks.taken_in_ms(keys, one), None) for one, keys in jobs]
    )
    firsts = memory.run_each([ignore_corrupt(looks.first(keys), None) for _, keys in jobs])
    due = memory.run_each([ignore_corrupt(due_at_ms(keys, one), None) for one, keys in jobs])
    for (job_id, keys), before, since_ms, first, due_ms in zip(
        jobs, ranks, times, firsts, due, strict=True
    ):
        if due_ms is not None:
            yield _scheduled(job_id, keys, due_ms)
        elif before is not None and since_ms is not None:
            head = of_session[keys.history]
            own = head if head.job_id == job_id else NOT_THERE
            yield JobShown(
                job_id=job_id,
                agent_id=keys.agent_id,
                session_id=keys.session_id,
                why=Why.BEHIND if before else own.why,
                before=before,
                ahead=first if before else None,
                attempts=own.attempts,
                since_ms=since_ms,
                until_ms=own.until_ms,
            )


def _scheduled(job_id: str, keys: SessionKeys, due_ms: int) -> JobShown:
    return JobShown(
        job_id=job_id,
        agent_id=keys.agent_id,
        session_id=keys.session_id,
        why=Why.SCHEDULED,
        before=0,
        ahead=None,
        attempts=0,
        since_ms=None,
        until_ms=due_ms,
    )


def _moment_ms(cursor: str) -> int:
    stamp = cursor.partition("-")[0]
    return int(stamp) if stamp.isdigit() else 0

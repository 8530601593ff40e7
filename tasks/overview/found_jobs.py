"""The jobs of a state, an agent, a session, a user or a tag, page by page. No words.

Of several things that are asked for the rarest is looked up, and the others are compared: so a page
costs a bounded number of commands, however many jobs there are.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias, TypedDict, Unpack, get_args

from memory import Connection, InvalidInput, Keyspace
from memory.mailbox import looks
from memory.mailbox.looks import HeadLook, Why
from memory.quotas import job_records
from memory.quotas.job_records import OPEN, JobRecord
from memory.records import index
from memory.redis.command import ignore_corrupt
from tasks.overview.jobs import NOT_THERE
from tasks.process.services import producer_services

JobState: TypeAlias = Literal[
    "waiting", "running", "paused", "done", "failed", "cancelled", "merged"
]
"""What a job does, or how it has ended. `waiting`: also one whose model's servers are away;
`merged`: another job has answered its message."""
STATES: tuple[JobState, ...] = get_args(JobState)
OF_OPEN = ("waiting", "running", "paused")
MOST_OF_A_PAGE = 1000
MOST_LOOKED_AT = 2000
"""Where few of them fit, a page is shorter than was asked for: it says where to go on."""
AT_ONCE = 200
_LAST_MS = 10**13 - 1
_CURSOR = re.compile(r"\d{13} .+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job. `taken_at`: when it was sent; `ended_at`: when its end was delivered, None of one that
    waits or runs. Both by Redis' clock, in UTC."""

    job_id: str
    state: JobState
    agent_id: str
    session_id: str
    user: str | None
    tags: tuple[str, ...]
    taken_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """A page of jobs, the newest first. `next` is the cursor of the next one, None at the end; a
    page may be short, or empty, and not the last."""

    jobs: tuple[FoundJob, ...]
    next: str | None


class JobSearch(TypedDict, total=False):
    """What `find_jobs` looks for; what is left out, or None, applies to any job."""

    state: JobState | None
    agent_id: str | None
    session_id: str | None
    user: str | None
    """The `user_id` in the metadata of a job."""
    tag: str | None
    since: datetime | None
    """Sent at this time or later, with a time zone."""
    until: datetime | None
    """Sent before this time, with a time zone."""


@dataclass(frozen=True, slots=True)
class JobQuery:
    """`JobSearch`, checked. Raises InvalidInput."""

    state: JobState | None = None
    agent_id: str | None = None
    session_id: str | None = None
    user: str | None = None
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in STATES:
            raise InvalidInput(f"state must be one of {', '.join(STATES)}")
        if not all(at is None or _is_moment(at) for at in (self.since, self.until)):
            raise InvalidInput("since and until must be a datetime with a time zone")

    @property
    def stored_state(self) -> str | None:
        """The state that records have."""
        return OPEN if self.state in OF_OPEN else self.state

    @property
    def names(self) -> list[str]:
        """The names of the index under which all that is looked for is found. Done jobs have none
        of their own: nearly all are."""
        given = (
            (job_records.session_name, self.session_id),
            (job_records.tag_name, self.tag),
            (job_records.user_of, self.user),
            (job_records.agent_name, self.agent_id),
            (job_records.state_name, None if self.state == "done" else self.stored_state),
        )
        return [name(value) for name, value in given if value is not None] or [job_records.ALL]

    def fits(self, record: JobRecord) -> bool:
        """Whether the record is one of those; what an open one does is not in it."""
        wanted = (self.stored_state, self.agent_id, self.session_id, self.user)
        has = (record.state, record.agent_id, record.session_id, record.user)
        fits = all(one in (None, other) for one, other in zip(wanted, has, strict=True))
        return fits and (self.tag is None or self.tag in record.tags)


def find_jobs(*, cursor: str = "", limit: int = 100, **search: Unpack[JobSearch]) -> FoundJobs:
    """A page of the jobs to which all of this applies, the newest first; at most `limit` of them,
    up to 1000. `cursor` is the `next` of the page before.

    All that wait or run are found, and those that have ended for CHAT_JOBS_KEPT_SECONDS, at most
    CHAT_MAX_JOBS_KEPT. Changes nothing. Raises memory.InvalidInput for what cannot be looked for,
    and memory.MemoryServiceError.
    """
    services = producer_services()
    query = JobQuery(**search)
    kept_ms = services.settings.queue.jobs_kept_s * 1000
    finding = JobFinder(services.memory, services.keyspace, query, kept_ms)
    return finding.page(cursor, limit)


class JobFinder:
    """One page that is looked for."""

    def __init__(
        self, memory: Connection, keyspace: Keyspace, query: JobQuery, kept_ms: float
    ) -> None:
        self._memory = memory
        self._keyspace = keyspace
        self._query = query
        self._kept_ms = kept_ms

    def page(self, cursor: str, limit: int) -> FoundJobs:
        """The page behind a cursor. Raises InvalidInput and MemoryServiceError."""
        if cursor and not _CURSOR.fullmatch(cursor):
            raise InvalidInput("this is not a cursor that a page of jobs gave")
        if not 1 <= limit <= MOST_OF_A_PAGE:
            raise InvalidInput(f"limit must be 1 to {MOST_OF_A_PAGE}")
        name, now_ms = self._rarest(), self._memory.run(index.server_time_ms())
        found: list[FoundJob] = []
        for _ in range(MOST_LOOKED_AT // AT_ONCE):
            places = self._places(name, cursor)
            for record in self._shown(places, now_ms):
                found.append(record)
                if len(found) == limit:
                    return FoundJobs(tuple(found), _place_of(record))
            if len(places) < AT_ONCE:
                return FoundJobs(tuple(found), None)
            cursor = places[-1]
        return FoundJobs(tuple(found), cursor)

    def _rarest(self) -> str:
        names = self._query.names
        if len(names) == 1:
            return names[0]
        sizes = [job_records.size(self._keyspace, name) for name in names]
        counted = self._memory.run_each([ignore_corrupt(one, 0) for one in sizes])
        return min(zip(counted, names, strict=True))[1]

    def _places(self, name: str, cursor: str) -> list[str]:
        since, until = self._query.since, self._query.until
        page = job_records.page(
            self._keyspace,
            name,
            since_ms=0 if since is None else _ms(since),
            until_ms=_LAST_MS if until is None else _ms(until),
            place=cursor,
            limit=AT_ONCE,
        )
        return self._memory.run(ignore_corrupt(page, []))

    def _shown(self, places: Sequence[str], now_ms: int) -> Iterator[FoundJob]:
        """The jobs at these places that fit."""
        if not places:
            return
        jobs = [*map(job_records.job_at, places)]
        none: list[JobRecord | None] = []
        found = self._memory.run(ignore_corrupt(job_records.records(self._keyspace, jobs), none))
        records = [one for one in found if one is not None]
        fitting = [one for one in records if self._query.fits(one) and self._is_kept(one, now_ms)]
        for job in _as_now(self._memory, self._keyspace, fitting, now_ms):
            if self._query.state in (None, job.state):
                yield job

    def _is_kept(self, record: JobRecord, now_ms: int) -> bool:
        # They are removed as other jobs come, which may be later.
        return record.ended_ms is None or record.ended_ms >= now_ms - self._kept_ms


def _as_now(
    memory: Connection, keyspace: Keyspace, records: Sequence[JobRecord], now_ms: int
) -> Iterator[FoundJob]:
    """These jobs; what an open one does is asked of its mailbox, once for each session."""
    waiting = [one for one in records if one.state == OPEN]
    sessions = {keyspace.session(one.agent_id, one.session_id): None for one in waiting}
    heads = memory.run_each(
        [ignore_corrupt(looks.head(keys, now_ms=now_ms), NOT_THERE) for keys in sessions]
    )
    of_session = dict(zip(((one.agent_id, one.session_id) for one in sessions), heads, strict=True))
    for record in records:
        job = _found(record)
        head = of_session.get((record.agent_id, record.session_id), NOT_THERE)
        yield job if record.state != OPEN else replace(job, state=_state_of(record, head))


def _found(record: JobRecord) -> FoundJob:
    ended_ms = record.ended_ms
    return FoundJob(
        job_id=record.job_id,
        state=next((one for one in STATES if one == record.state), "waiting"),
        agent_id=record.agent_id,
        session_id=record.session_id,
        user=record.user,
        tags=record.tags,
        taken_at=_moment(record.taken_ms),
        ended_at=None if ended_ms is None else _moment(ended_ms),
    )


def _state_of(record: JobRecord, head: HeadLook) -> JobState:
    if head.job_id != record.job_id:
        return "waiting"
    if head.why is Why.RUNNING:
        return "running"
    # Whoever pauses says so of the head that waits for it.
    return "paused" if head.why.value == "paused" else "waiting"


def _is_moment(given: object) -> bool:
    return isinstance(given, datetime) and given.tzinfo is not None


def _ms(at: datetime) -> int:
    return min(max(0, round(at.timestamp() * 1000)), _LAST_MS)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _place_of(job: FoundJob) -> str:
    return " ".join((str(_ms(job.taken_at)), job.job_id))

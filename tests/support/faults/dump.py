"""What lies in Redis of a session, read raw: no code of the product decides what a test sees."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis import Redis

from memory.keys import Keyspace


@dataclass(frozen=True, slots=True)
class SessionDump:
    """One session as it lies in Redis. `marks` of the done: + committed, - cancelled or dead."""

    session_id: str
    history: tuple[dict[str, object], ...]
    pending: tuple[str, ...] = ()
    marks: tuple[tuple[str, float], ...] = ()
    dead: Mapping[str, str] = field(default_factory=dict)
    """The reasons of the dead letters, by job."""
    envelopes: frozenset[str] = frozenset()
    lease: frozenset[str] = frozenset()
    """The names of the fields of the lease."""
    is_due: bool = True
    marks_ttl_ms: int = 0
    undelivered: frozenset[str] = frozenset()
    """The jobs whose end is in the outbox."""
    events: tuple[dict[str, object], ...] = ()
    results: Mapping[str, dict[str, object]] = field(default_factory=dict)
    """What Celery has stored, by job."""


def read_session(
    observer: Redis, results: Redis, keyspace: Keyspace, agent_id: str, session_id: str
) -> SessionDump:
    """All of it in one transaction, but for the results of its jobs, which are on another db."""
    keys = keyspace.session(agent_id, session_id)
    with observer.pipeline(transaction=True) as pipe:
        pipe.lrange(keys.history, 0, -1)
        pipe.zrange(keys.queue, 0, -1)
        pipe.zrange(keys.done, 0, -1, withscores=True)
        pipe.lrange(keys.dead, 0, -1)
        pipe.hkeys(keys.jobs)
        pipe.hkeys(keys.lease)
        pipe.zscore(keyspace.due, keys.history)
        pipe.pttl(keys.done)
        pipe.hkeys(keys.outbox)
        pipe.xrange(keys.events)
        history, pending, marks, dead, envelopes, lease, due_at, ttl_ms, outbox, stream = (
            pipe.execute()
        )
    return SessionDump(
        session_id=session_id,
        history=tuple(json.loads(element) for element in history),
        pending=tuple(job.decode() for job in pending),
        marks=tuple((job.decode(), score) for job, score in marks),
        dead=dict(_job_and_reason(letter) for letter in dead),
        envelopes=frozenset(job.decode() for job in envelopes),
        lease=frozenset(name.decode() for name in lease),
        is_due=due_at is not None,
        marks_ttl_ms=ttl_ms,
        undelivered=frozenset(job.decode() for job in outbox),
        events=tuple(json.loads(fields[b"event"]) for _, fields in stream),
        results=_results(results, [job.decode() for job, _ in marks]),
    )


def is_drained(
    observer: Redis, keyspace: Keyspace, agent_id: str, jobs: list[tuple[str, int]]
) -> bool:
    """Whether nothing is pending and so many jobs are done, for each (session id, jobs).

    A session that is done is taken out of `jobs`: whoever looks again looks at the others.
    """
    while jobs:
        session_id, count = jobs[-1]
        keys = keyspace.session(agent_id, session_id)
        if observer.zcard(keys.queue) or observer.zcard(keys.done) < count:
            return False
        jobs.pop()
    return True


def _results(server: Redis, jobs: Sequence[str]) -> dict[str, dict[str, object]]:
    stored = server.mget([f"celery-task-meta-{job}" for job in jobs]) if jobs else []
    return {job: json.loads(one) for job, one in zip(jobs, stored, strict=True) if one}


def _job_and_reason(letter: bytes) -> tuple[str, str]:
    """A dead letter is a series of netstrings: the job's id is the first, the reason the fifth."""
    facts = []
    while letter:
        size, _, rest = letter.partition(b":")
        facts.append(rest[: int(size)].decode())
        letter = rest[int(size) + 1 :]
    return facts[0], facts[4]

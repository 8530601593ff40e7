"""The records by which jobs are found: what state a job is in, whose it is, its tags. No words.

A record begins with NOTE_JOB, before its job is taken in, and says open until RELEASE_JOBS notes
the end. Open ones are as many as jobs wait or run; of jobs that have ended a bounded number is kept
for a bounded time. All lie in one index, whose entries sort by name and then by time, so a page is
one range of it, whatever is looked for (docs/decisions.md, "Jobs are found by an index beside their
counts").

Pure, as `mailbox`, but for `pages`: functions return commands.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memory.ids import encode_id, read_id
from memory.keys import Keyspace
from memory.quotas.owners import user_name
from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.connection import Connection
from memory.redis.replies import count, integer, optional, strings, unexpected_reply

FORGET_RECORDS = LuaScript.load("quotas", "forget_records")

OPEN = "open"
ALL = "*"
_RECORD = re.compile(rb"([a-z]+) (\d{1,15}) (\d{1,15})((?: [asut]:\S+)+)")
PAGE_ENTRIES = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """How a job is listed. `kept_ms` and `most`: how long and how many records of jobs that have
    ended are kept; where `most` is 0 none is listed."""

    names: str = ""
    kept_ms: int = 0
    most: int = 0


NOT_LISTED = Listed()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What the index says of a job. `state` is "open" (it waits or runs), "done", "failed",
    "cancelled" or "merged"; times are ms of the server's clock, `ended_ms` None of an open one."""

    job_id: str
    state: str
    taken_ms: int
    ended_ms: int | None
    agent_id: str
    session_id: str
    user: str | None
    tags: tuple[str, ...]


def names_of(agent_id: str, session_id: str, user: str | None, tags: Sequence[str]) -> str:
    """The names by which a job is found, each with a space before it."""
    found = ["", agent_name(agent_id), session_name(session_id)]
    found += [] if user is None else [user_of(user)]
    found += map(tag_name, dict.fromkeys(tags)) if tags else ()
    return " ".join(found)


def agent_name(agent_id: str) -> str:
    """The name under which the jobs of an agent are found."""
    return f"a:{encode_id(agent_id, what='agent_id')}"


def session_name(session_id: str) -> str:
    """The name under which the jobs of a session are found, of whichever agent."""
    return f"s:{encode_id(session_id, what='session_id')}"


def user_of(user: str) -> str:
    """The name under which the jobs of a user are found."""
    return f"u:{user_name(user)}"


def tag_name(tag: str) -> str:
    """The name under which the jobs with a tag are found."""
    return f"t:{encode_id(tag, what='tag')}"


def state_name(state: str) -> str:
    """The name under which the jobs of a state are found."""
    return f"e:{state}"


def size(keyspace: Keyspace, name: str) -> Command[int]:
    """How many jobs are found under a name."""
    return Command(integer, ("ZLEXCOUNT", keyspace.quotas.job_index, f"[{name} ", f"({name}!"))


def page(
    keyspace: Keyspace, name: str, *, since_ms: int, until_ms: int, place: str, limit: int
) -> Command[list[str]]:
    """The places of jobs under a name that were taken in from `since_ms` on and before `until_ms`,
    the newest first, from behind a `place` on ("": from the first on)."""
    last = f"({name} {place}" if place else f"({name} {until_ms:013d}"
    first = f"[{name} {since_ms:013d}"
    parts = (keyspace.quotas.job_index, last, first, "BYLEX", "REV", "LIMIT", 0, limit)
    begin = len(f"{name} ".encode())

    def read(reply: object) -> list[str]:
        return [one[begin:].decode(errors="surrogateescape") for one in strings(reply)]

    return Command(read, ("ZRANGE", *parts))


def job_at(place: str) -> str:
    """The job at a place of the index."""
    return place.partition(" ")[2]


def records(keyspace: Keyspace, job_ids: Sequence[str]) -> Command[list[JobRecord | None]]:
    """The records of jobs, at least one; None of one that has none, or a damaged one."""
    ids = [one.encode(errors="surrogateescape") for one in job_ids]

    def read(reply: object) -> list[JobRecord | None]:
        if not isinstance(reply, list):
            raise unexpected_reply(reply)
        return [_record(*one) for one in zip(job_ids, reply, strict=True)]

    return Command(read, ("HMGET", keyspace.quotas.job_records, *ids))


def pages(
    connection: Connection, keyspace: Keyspace, name: str, *, until_ms: int
) -> Iterator[list[JobRecord]]:
    """The records under a name of jobs that were taken in until then, the newest first. Raises
    MemoryServiceError; a damaged index has none."""
    place = ""
    while True:
        command = page(
            keyspace, name, since_ms=0, until_ms=until_ms + 1, place=place, limit=PAGE_ENTRIES
        )
        places = connection.run(ignore_corrupt(command, []))
        if not places:
            return
        none: list[JobRecord | None] = []
        found = records(keyspace, [job_at(one) for one in places])
        yield [one for one in connection.run(ignore_corrupt(found, none)) if one is not None]
        place = places[-1]


def forget(keyspace: Keyspace, job_ids: Sequence[str]) -> Command[int]:
    """Forget the records of jobs, at least one; how many there were."""
    return FORGET_RECORDS.command(count, keyspace.quotas, jobs=tuple(job_ids))


def _record(job_id: str, stored: object) -> JobRecord | None:
    found = optional(_RECORD.fullmatch)(stored)
    if found is None:
        return None
    names = [one.decode(errors="replace") for one in found[4].split()]
    of_kind = {kind: [read_id(one[2:]) for one in names if one[0] == kind] for kind in "asut"}
    if not (of_kind["a"] and of_kind["s"]):
        return None
    return JobRecord(
        job_id=job_id,
        state=found[1].decode(),
        taken_ms=int(found[2]),
        ended_ms=int(found[3]) or None,
        agent_id=of_kind["a"][0],
        session_id=of_kind["s"][0],
        user=next(iter(of_kind["u"]), None),
        tags=tuple(of_kind["t"]),
    )

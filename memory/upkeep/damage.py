"""Finding keys of a wrong type: what another program has written where Griot keeps its own."""

from collections.abc import Iterator
from dataclasses import dataclass

from memory.errors import CorruptData
from memory.keys import Keyspace, SessionKeys
from memory.mailbox import due_list
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import strings, text

MOST_SESSIONS = 1000
NONE = "none"
SESSION_TYPES = {
    "history": "list",
    "queue": "zset",
    "delayed": "zset",
    "schedules": "hash",
    "jobs": "hash",
    "callbacks": "hash",
    "lease": "hash",
    "done": "zset",
    "requests": "hash",
    "outbox": "hash",
    "dead": "list",
    "events": "stream",
    "write_ids": "zset",
    "summary": "hash",
    "archive": "hash",
    "users": "zset",
}
"""The type of each key of a session."""
GLOBAL_TYPES = {
    "due": "zset",
    "delayed": "zset",
    "schedules": "zset",
    "outbox": "zset",
    "dead": "zset",
    "agents": "zset",
    "users": "zset",
    "cancellations": "stream",
    "encryption_keys": "hash",
    "waiting_models": "zset",
    "outages": "zset",
    "pauses": "hash",
    "summary_lock": "string",
    "queue_wait": "string",
    "archive_lock": "string",
    "archive_run": "string",
    "archive_forgotten": "zset",
    "watched": "string",
    "workers": "zset",
    "turn_counts": "hash",
    "api_keys": "hash",
    "audit": "stream",
    "stats": "stream",
}
"""The type of each key that all sessions share."""

QUOTA_TYPES = {
    "pending_jobs": "zset",
    "owners": "hash",
    "counts": "hash",
    "totals": "hash",
    "job_records": "hash",
    "job_index": "zset",
    "record_ends": "zset",
    "usage_ids": "zset",
}
"""The type of each key by which jobs are counted."""


@dataclass(frozen=True, slots=True)
class DamagedKey:
    """A key that holds another type than ours."""

    key: str
    expected: str
    found: str


def damaged_keys(connection: Connection, keyspace: Keyspace) -> list[DamagedKey]:
    """The keys of a wrong type: of those that all share, and of the sessions on the due list.

    Looks at a thousand sessions at most, those that are due first. Raises MemoryServiceError.
    """
    shared = {getattr(keyspace, name): kind for name, kind in GLOBAL_TYPES.items()}
    shared |= {getattr(keyspace.quotas, name): kind for name, kind in QUOTA_TYPES.items()}
    found = list(_damaged(connection, shared))
    for keys in _sessions(connection, keyspace):
        of_session = {getattr(keys, name): kind for name, kind in SESSION_TYPES.items()}
        found += _damaged(connection, of_session)
    return found


def _sessions(connection: Connection, keyspace: Keyspace) -> Iterator[SessionKeys]:
    first = ("ZRANGE", keyspace.due, "-inf", due_list.FAR_MS, "BYSCORE", "LIMIT", 0, MOST_SESSIONS)
    try:
        members = connection.run(Command(strings, first))
    except CorruptData:
        return  # the list itself is damaged, and was found so
    for member in members:
        keys = keyspace.find_session(member.decode(errors="replace"))
        if keys is not None:
            yield keys


def _damaged(connection: Connection, expected: dict[str, str]) -> Iterator[DamagedKey]:
    types = connection.run_each([Command(text, ("TYPE", key)) for key in expected])
    for (key, kind), found in zip(expected.items(), types, strict=True):
        if found not in (kind, NONE):
            yield DamagedKey(key, kind, found)

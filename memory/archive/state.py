"""What the archiver's last run came to, as operators are told."""

from dataclasses import asdict, dataclass

import orjson

from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.records import archived
from memory.redis.command import Command
from memory.redis.connection import Connection


@dataclass(frozen=True, slots=True)
class LastRun:
    """When it was (ms of Redis' clock), what kept it from writing ("" for nothing), and how late it
    met the latest session."""

    at_ms: int
    error: str
    overdue_s: float


def note_run(keyspace: Keyspace, run: LastRun) -> Command[None]:
    """Note it."""
    return archived.note_run(keyspace, orjson.dumps(asdict(run)))


def last_run(connection: Connection, keyspace: Keyspace) -> LastRun | None:
    """The last one; None where there was none. Raises MemoryServiceError."""
    packed = connection.run(archived.last_run(keyspace))
    if packed is None:
        return None
    try:
        noted = orjson.loads(packed)
        return LastRun(int(noted["at_ms"]), str(noted["error"]), float(noted["overdue_s"]))
    except (ValueError, KeyError, TypeError):
        raise CorruptData(f"{keyspace.archive_run} is none of ours; delete it") from None

"""What the demo leaves behind in a Redis of the user's own, and its removal, key by key."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import SecretStr

from memory import Command, Connection, MemorySettings
from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.redis.replies import integer
from tasks.process.configuration import Settings

SCAN_COUNT = 1000
BATCH_KEYS = 500

# The names kombu 5.7.0 and celery 5.7.0 give their keys (kombu.transport.redis).
BROKER_PATTERNS = ("_kombu.*", "chat*", "celery*", "maintenance*", "unacked*")
RESULT_PATTERNS = ("celery-task-meta-*",)


@dataclass(frozen=True, slots=True)
class Database:
    """A database, and which of its keys may be the demo's."""

    connection: Connection
    patterns: tuple[str, ...]

    def names(self) -> set[bytes]:
        """The keys that are there now. It reads through the database in small steps."""
        return {name for pattern in self.patterns for name in _scan(self.connection, pattern)}

    def remove(self, names: Iterable[bytes]) -> int:
        """Remove keys. How many went."""
        doomed = sorted(names)
        parts = [doomed[at : at + BATCH_KEYS] for at in range(0, len(doomed), BATCH_KEYS)]
        return sum(self.connection.run(Command(integer, ("UNLINK", *part))) for part in parts)


class Footprint:
    """Notes which keys are there before the demo, and removes afterwards what has come since.

    It must be alone with the broker meanwhile: what another process writes there counts as its own.
    """

    def __init__(self, settings: Settings, prefix: str) -> None:
        """Raises MemoryServiceError where a database cannot be read."""
        Keyspace(prefix)  # refuses a prefix that could be a pattern
        self._databases = (
            Database(Connection(settings.memory), (f"{prefix}:*",)),
            Database(_at(settings.memory, settings.broker_url), BROKER_PATTERNS),
            Database(_at(settings.memory, settings.result_backend), RESULT_PATTERNS),
        )
        self._before = [database.names() for database in self._databases]

    def remove(self) -> int:
        """Remove what has come since. How many keys went. Safe to repeat."""
        removed = sum(
            database.remove(database.names() - before)
            for database, before in zip(self._databases, self._before, strict=True)
        )
        for database in self._databases:
            database.connection.close()
        return removed


def _at(settings: MemorySettings, url: str) -> Connection:
    return Connection(settings.model_copy(update={"url": SecretStr(url)}))


def _scan(connection: Connection, pattern: str) -> Iterable[bytes]:
    cursor = 0
    while True:
        parts = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
        cursor, names = connection.run(Command(_page, parts))
        yield from names
        if not cursor:
            return


def _page(reply: object) -> tuple[int, list[bytes]]:
    match reply:
        case [bytes(cursor), list(names)]:
            return int(cursor), names
    raise CorruptData("SCAN answered with something else")

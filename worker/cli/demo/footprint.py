"""What the demo leaves behind in a Redis of the user's own, and its removal, key by key."""

from pydantic import SecretStr

from memory import Command, Connection, MemorySettings
from memory.errors import CorruptData
from memory.redis.replies import integer
from tasks.process.broker_names import BrokerNames
from tasks.process.configuration import Settings

SCAN_COUNT = 1000
BATCH_KEYS = 500


class Footprint:
    """Notes which keys are there before the demo, and removes afterwards what has come since.

    It must be alone with the broker meanwhile: what another process writes there counts as its own.
    """

    def __init__(self, settings: Settings, prefix: str) -> None:
        """Raises MemoryServiceError where a database cannot be read."""
        names = BrokerNames(prefix).prefix
        self._databases = (
            (Connection(settings.memory), (f"{prefix}:*",)),
            (_at(settings.memory, settings.broker_url), ("_kombu.*", f"{names}*")),
            (_at(settings.memory, settings.result_backend), (f"{names}*",)),
        )
        self._before = [_names(*database) for database in self._databases]

    def remove(self) -> int:
        """Remove what has come since. How many keys went. Safe to repeat."""
        removed = 0
        for (connection, patterns), before in zip(self._databases, self._before, strict=True):
            doomed = sorted(_names(connection, patterns) - before)
            for at in range(0, len(doomed), BATCH_KEYS):
                part = doomed[at : at + BATCH_KEYS]
                removed += connection.run(Command(integer, ("UNLINK", *part)))
            connection.close()
        return removed


def _at(settings: MemorySettings, url: str) -> Connection:
    return Connection(settings.model_copy(update={"url": SecretStr(url)}))


def _names(connection: Connection, patterns: tuple[str, ...]) -> set[bytes]:
    """The keys that are there now. It reads through the database in small steps."""
    found: set[bytes] = set()
    for pattern in patterns:
        cursor = None
        while cursor != 0:
            parts = ("SCAN", cursor or 0, "MATCH", pattern, "COUNT", SCAN_COUNT)
            cursor, names = connection.run(Command(_page, parts))
            found.update(names)
    return found


def _page(reply: object) -> tuple[int, list[bytes]]:
    match reply:
        case [bytes(cursor), list(names)]:
            return int(cursor), names
    raise CorruptData("SCAN answered with something else")

"""What a Redis server says of itself that decides whether it may hold mailboxes."""

from collections.abc import Mapping
from dataclasses import dataclass

from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import text

KEEPS_EVERYTHING = "noeviction"
OLDEST_REDIS = 7  # scripts carry flags (`#!lua flags=…`), and BLMPOP came with 7.0


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """One server, by its INFO. `maxmemory_bytes` is 0 where there is no limit.

    `version` is the version of Redis whose commands it speaks; Valkey has one of its own besides.
    """

    product: str
    version: str
    eviction_policy: str
    is_append_only: bool
    used_memory_bytes: int
    maxmemory_bytes: int

    @property
    def is_new_enough(self) -> bool:
        """Whether it has the commands that are used here."""
        major = self.version.partition(".")[0]
        return major.isdecimal() and int(major) >= OLDEST_REDIS

    @property
    def is_evicting(self) -> bool:
        """Whether it may drop keys on its own when it is full."""
        # The volatile policies too: leases, done marks and histories have a TTL.
        return self.eviction_policy != KEEPS_EVERYTHING

    @property
    def fill(self) -> float | None:
        """How full it is, 0 to 1; None where there is no limit."""
        return self.used_memory_bytes / self.maxmemory_bytes if self.maxmemory_bytes else None


def server_info(connection: Connection) -> list[ServerInfo]:
    """What each primary of a cluster says, or the one server. Raises a MemoryServiceError."""
    return connection.run_on_every_server(Command(_server, ("INFO",)))


def info_fields(reply: object) -> dict[str, str]:
    """The names and values of the reply to INFO."""
    lines = text(reply).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and line[0] != "#")


def _server(reply: object) -> ServerInfo:
    return server_of(info_fields(reply))


def server_of(fields: Mapping[str, str]) -> ServerInfo:
    """What the names and values of INFO say."""
    own_version = fields.get("valkey_version")
    return ServerInfo(
        product=f"Valkey {own_version}"
        if own_version
        else f"Redis {fields.get('redis_version', '?')}",
        version=fields.get("redis_version", "0"),
        eviction_policy=fields.get("maxmemory_policy", ""),
        is_append_only=fields.get("aof_enabled") == "1",
        used_memory_bytes=int(fields.get("used_memory", "0")),
        maxmemory_bytes=int(fields.get("maxmemory", "0")),
    )

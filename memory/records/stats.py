"""What Redis says of its memory, now and over time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypedDict

import orjson

from memory.errors import InvalidInput
from memory.keys import Keyspace
from memory.records import index, turn_counts
from memory.redis.command import Command, ignore_corrupt
from memory.redis.connection import Connection
from memory.redis.replies import integer, nothing, unexpected_reply
from memory.redis.server_info import info_fields

_SUMMED = (
    "used_memory",
    "used_memory_peak",
    "maxmemory",
    "evicted_keys",
    "expired_keys",
    "connected_clients",
)


class MemoryStats(TypedDict):
    """Numbers of one server, or the sum over the primaries of a cluster.

    `used_memory` and `peak_memory` are as Redis prints them ('1.02M'); `maxmemory_bytes` is 0
    where there is no limit; `sessions` counts the index, which may still hold some that expired.
    """

    used_memory: str
    used_memory_bytes: int
    peak_memory: str
    peak_memory_bytes: int
    maxmemory_bytes: int
    total_keys: int
    sessions: int
    agents: int
    evicted_keys: int
    expired_keys: int
    connected_clients: int


@dataclass(frozen=True, slots=True)
class StatsPoint:
    """Statistics of one moment. A number that was not recorded then is 0.

    `turns` are the counts of all turns so far (`turn_counts.spans`).
    """

    at: datetime
    used_memory_bytes: int
    peak_memory_bytes: int
    maxmemory_bytes: int
    total_keys: int
    sessions: int
    agents: int
    evicted_keys: int
    expired_keys: int
    connected_clients: int
    turns: Mapping[str, int] = field(default_factory=dict)


_NUMBERS = tuple(name for name in StatsPoint.__annotations__ if name not in ("at", "turns"))


def memory_stats(connection: Connection, keyspace: Keyspace) -> MemoryStats:
    """The numbers of now."""
    servers = connection.run_on_every_server(Command(info_fields, ("INFO",)))
    keys = connection.run_on_every_server(Command(integer, ("DBSIZE",)))
    sizes = [sessions for _, sessions in index.sizes(connection, keyspace)]
    total = {name: sum(int(info.get(name, "0")) for info in servers) for name in _SUMMED}
    used, peak = total["used_memory"], total["used_memory_peak"]
    return MemoryStats(
        used_memory=human_size(used),
        used_memory_bytes=used,
        peak_memory=human_size(peak),
        peak_memory_bytes=peak,
        maxmemory_bytes=total["maxmemory"],
        total_keys=sum(keys),
        sessions=sum(sizes),
        agents=len(sizes),
        evicted_keys=total["evicted_keys"],
        expired_keys=total["expired_keys"],
        connected_clients=total["connected_clients"],
    )


def record_stats(connection: Connection, keyspace: Keyspace, *, keep: int) -> MemoryStats:
    """Add the numbers of now to the series, which keeps about the last `keep` points.

    Repeated after a lost reply it may add a point twice, which does no harm.
    """
    stats = memory_stats(connection, keyspace)
    named = ((name, _number(stats, name)) for name in _NUMBERS)
    numbers: list[str | int | bytes] = [part for one in named for part in one]
    turns = ignore_corrupt(turn_counts.read(keyspace), {})
    numbers += ["turns", orjson.dumps(connection.run(turns))]
    # A stream: Redis caps it, and finds the points of a time by their ids.
    parts = ("XADD", keyspace.stats, "MAXLEN", "~", keep, "*", *numbers)
    connection.run(Command(nothing, parts))
    return stats


def read_stats(
    connection: Connection,
    keyspace: Keyspace,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 1000,
) -> list[StatsPoint]:
    """The points recorded between two moments (None: no bound), at most the last `limit` of them,
    oldest first. What is none of ours is left out. Raises InvalidInput for a moment without
    time zone or a limit below 1."""
    if limit < 1:
        raise InvalidInput(f"limit must be at least 1, not {limit}")
    end = "+" if until is None else _stream_ms(until, what="until")
    start = "-" if since is None else _stream_ms(since, what="since")
    # From the end, for the limit counts the last points.
    parts = ("XREVRANGE", keyspace.stats, end, start, "COUNT", limit)
    return connection.run(Command(_points, parts))[::-1]


def human_size(size_bytes: int) -> str:
    """A size as Redis prints it: '512B', '1.02M', '3.50G'."""
    if size_bytes < 1024:
        return f"{size_bytes}B"
    size = float(size_bytes)
    for unit in "KMGTP":
        size /= 1024
        if size < 1024:
            return f"{size:.2f}{unit}"
    return f"{size:.2f}P"


def _number(stats: MemoryStats, name: str) -> int:
    value = stats.get(name)
    return value if isinstance(value, int) else 0


def _stream_ms(moment: datetime, *, what: str) -> int:
    if moment.tzinfo is None:
        raise InvalidInput(f"{what} must have a time zone")
    return int(moment.timestamp() * 1000)


def _points(reply: object) -> list[StatsPoint]:
    if not isinstance(reply, list):
        raise unexpected_reply(reply)
    points = (_point(entry) for entry in reply)
    return [point for point in points if point is not None]


def _point(entry: object) -> StatsPoint | None:
    match entry:
        case [bytes(entry_id), list(flat)]:
            numbers = dict(zip(flat[::2], flat[1::2], strict=True))
            try:
                at = datetime.fromtimestamp(int(entry_id.split(b"-")[0]) / 1000, tz=UTC)
                known = [int(numbers.get(name.encode(), 0)) for name in _NUMBERS]
                turns = _turns(numbers.get(b"turns", b"{}"))
                return StatsPoint(at, **dict(zip(_NUMBERS, known, strict=True)), turns=turns)
            except (ValueError, OverflowError, OSError):  # the last two: a date beyond all years
                return None
    raise unexpected_reply(entry)


def _turns(stored: object) -> dict[str, int]:
    found = orjson.loads(stored) if isinstance(stored, bytes) else {}
    if not isinstance(found, dict):
        raise ValueError("no counts of turns")
    return {name: number for name, number in found.items() if isinstance(number, int)}

"""The memory and the turns of the last hours, from the snapshots of the statistics."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from memory import Connection, Keyspace, StatsPoint
from memory.records.index import server_time_ms
from memory.records.stats import read_stats
from memory.records.turn_counts import TurnsSpan, spans

MOST_SNAPSHOTS = 3000
POINTS = 90
"""So many are shown: what a chart has room for."""


@dataclass(frozen=True, slots=True)
class MemoryPoint:
    """What Redis used at a moment; `most_bytes` is 0 where there is no limit."""

    at: datetime
    used_bytes: int
    most_bytes: int
    keys: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Series:
    """Of the last hours, the oldest first."""

    memory: tuple[MemoryPoint, ...]
    turns: tuple[TurnsSpan, ...]


def series(memory: Connection, keyspace: Keyspace, *, hours: int) -> Series:
    """What the snapshots say of the last `hours`, at most 90 points of it; of the last 3000
    snapshots where they are taken so often. Raises MemoryServiceError."""
    now = datetime.fromtimestamp(memory.run(server_time_ms()) / 1000).astimezone()
    since = now - timedelta(hours=hours)
    points = _thinned(read_stats(memory, keyspace, since=since, limit=MOST_SNAPSHOTS))
    return Series(
        memory=tuple(
            MemoryPoint(
                one.at, one.used_memory_bytes, one.maxmemory_bytes, one.total_keys, one.sessions
            )
            for one in points
        ),
        turns=tuple(spans([(one.at, one.turns) for one in points])),
    )


def _thinned(points: Sequence[StatsPoint]) -> list[StatsPoint]:
    """At most POINTS of them, always with the last: the counts between two grow all the same."""
    step = -(-len(points) // POINTS) or 1
    return [*points[::-1][::step]][::-1]

"""Which promised times are missed, since when, and who waits longest: from Redis alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.profiles import Profiles
from memory import Connection, Keyspace
from memory.records import slo_counts
from memory.records.index import server_time_ms
from memory.records.stats import read_stats
from tasks.overview.jobs import JobShown, waiting_jobs

LOOKED_BACK = timedelta(hours=24)
MOST_SNAPSHOTS = 3000
LONGEST = 3
JOBS_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise to an agent's users and what came of it in the last hour.

    `measured` jobs took its time, `missed` of them longer than `within_s`; `since` is the first
    snapshot of a day from which on more than `allowed` were missed, None where it is kept.
    """

    agent: str
    slo: str
    within_s: float
    allowed: float
    measured: int
    missed: int
    since: datetime | None


def objectives(memory: Connection, keyspace: Keyspace, profiles: Profiles) -> tuple[Objective, ...]:
    """Those that were measured in the last day, by the snapshots of statistics. Raises
    MemoryServiceError."""
    if not profiles.has_slo:
        return ()
    now = datetime.fromtimestamp(memory.run(server_time_ms()) / 1000).astimezone()
    points = read_stats(memory, keyspace, since=now - LOOKED_BACK, limit=MOST_SNAPSHOTS)
    taken = [(one.at, one.turns) for one in points]
    return tuple(_objectives(taken, profiles))


def _objectives(
    taken: list[tuple[datetime, slo_counts.Counts]], profiles: Profiles
) -> Iterator[Objective]:
    for agent, name in slo_counts.promised(taken[-1][1] if taken else {}):
        slo = profiles.of(agent).slo
        kept = list(slo_counts.history(taken, agent, name))
        if slo is None or name not in slo.bounds_s or not kept:
            continue  # promised no longer
        since = slo_counts.missed_since(kept, slo.allowed)
        last = kept[-1]
        within_s = slo.bounds_s[name]
        yield Objective(agent, name, within_s, slo.allowed, last.measured, last.missed, since)


def longest_waiting(memory: Connection, keyspace: Keyspace) -> tuple[JobShown, ...]:
    """Of the three sessions that wait longest the job that does. Raises MemoryServiceError."""
    jobs = waiting_jobs(memory, keyspace, "", limit=JOBS_LOOKED_AT).jobs
    first: dict[tuple[str, str], JobShown] = {}
    for job in jobs:
        if job.since_ms is not None:
            first.setdefault((job.agent_id, job.session_id), job)
    return tuple(first.values())[:LONGEST]

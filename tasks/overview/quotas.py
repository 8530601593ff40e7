"""How many jobs wait or run against their bounds, in all and of each agent, and what is left of the
quotas of the agents."""

from dataclasses import dataclass

from memory import Connection, Keyspace
from memory.quotas import charges, owners, pending
from memory.records.index import server_time_ms
from memory.redis.command import ignore_corrupt
from tasks.process.configuration import Settings

MOST_AGENTS = 100
"""So many agents are shown: those of the profiles, in their order."""


@dataclass(frozen=True, slots=True)
class AgentQuota:
    """An agent's jobs that wait or run, and its quota: None where there is no bound. `minute_used`
    and `day_used` are parts of it, from 0 to 1."""

    agent_id: str
    pending: int
    jobs_at_once: int | None
    jobs_per_minute: int | None
    tokens_per_day: int | None
    minute_used: float
    day_used: float


@dataclass(frozen=True, slots=True)
class Quotas:
    """Jobs that wait or run in all, their bounds, and each agent that has a profile."""

    pending: int
    most_pending: int
    most_of_agent: int
    agents: tuple[AgentQuota, ...]


def look_at_quotas(memory: Connection, keyspace: Keyspace, settings: Settings) -> Quotas:
    """How it stands with the quotas. Raises MemoryServiceError."""
    names = [*settings.profiles.by_id][:MOST_AGENTS]
    found = [owners.agent(name, settings.profiles.of(name).quota) for name in names]
    counts = memory.run_each(
        [ignore_corrupt(pending.of_owner(keyspace, owner), 0) for owner in found]
    )
    now_ms = memory.run(server_time_ms())
    spent = memory.run_each(
        [ignore_corrupt(charges.used(keyspace, one, now_ms=now_ms), (0.0, 0.0)) for one in found]
    )
    agents = (
        AgentQuota(
            agent_id=name,
            pending=count,
            jobs_at_once=owner.quota.jobs_at_once,
            jobs_per_minute=owner.quota.jobs_per_minute,
            tokens_per_day=owner.quota.tokens_per_day,
            minute_used=minute,
            day_used=day,
        )
        for name, owner, count, (minute, day) in zip(names, found, counts, spent, strict=True)
    )
    return Quotas(
        pending=memory.run(pending.size(keyspace)),
        most_pending=settings.queue.max_pending_total,
        most_of_agent=settings.queue.max_pending_per_agent,
        agents=tuple(agents),
    )

"""What waits in all, in few commands however much it is: the jobs of each agent, ends, letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest

from memory import Connection, Keyspace, SessionKeys, dead_letters, outbox
from memory.quotas import pending
from memory.records import index
from memory.redis.command import Command, ignore_corrupt
from memory.redis.replies import integer

OLDEST_LOOKED_AT = 1000
SESSIONS_LOOKED_AT = 500
"""Of those with dead letters, the last ones."""


@dataclass(frozen=True, slots=True)
class AgentBacklog:
    """An agent's jobs that wait or run. `oldest_s`: since the first of them was due; None where
    none of the thousand oldest of all is its own."""

    agent_id: str
    pending: int
    oldest_s: float | None


@dataclass(frozen=True, slots=True)
class Filler:
    """Whose jobs wait or run: an agent with all its sessions (`session_id` None), or a session."""

    agent_id: str
    session_id: str | None
    jobs: int


@dataclass(frozen=True, slots=True)
class OutboxLeft:
    """Sessions with ends that could not be delivered at once. `oldest_s`: since the one of them was
    tried that waits longest, None where there is none."""

    sessions: int
    oldest_s: float | None


def agent_backlogs(memory: Connection, keyspace: Keyspace) -> tuple[AgentBacklog, ...]:
    """Every agent that has jobs, the one with the most first. Raises MemoryServiceError."""
    counts = memory.run(ignore_corrupt(pending.by_agent(keyspace), {}))
    now_ms = memory.run(index.server_time_ms())
    first = pending.oldest(keyspace, now_ms=now_ms, limit=OLDEST_LOOKED_AT)
    due = [(job, at_ms) for job, at_ms in memory.run(ignore_corrupt(first, [])) if at_ms <= now_ms]
    names = pending.agents_of(keyspace, [job for job, _ in due])
    agents = memory.run(ignore_corrupt(names, [])) if due else []
    oldest: dict[str, float] = {}
    for agent, (_, at_ms) in zip(agents, due, strict=False):
        if agent is not None:
            oldest.setdefault(agent, (now_ms - at_ms) / 1000)
    largest = sorted(counts.items(), key=lambda one: -one[1])
    return tuple(AgentBacklog(agent, jobs, oldest.get(agent)) for agent, jobs in largest)


def fullest_agents(memory: Connection, keyspace: Keyspace, *, most: int) -> tuple[Filler, ...]:
    """The agents with the most jobs, at most `most` of them. Raises MemoryServiceError."""
    counts = memory.run(ignore_corrupt(pending.by_agent(keyspace), {}))
    largest = nlargest(most, counts.items(), key=lambda one: one[1])
    return tuple(Filler(agent, None, jobs) for agent, jobs in largest if jobs)


def fullest_sessions(
    sessions: Sequence[SessionKeys], jobs: Sequence[int], *, most: int
) -> tuple[Filler, ...]:
    """Of sessions, each with how many jobs it has, those with the most, at most `most` of them."""
    largest = nlargest(most, zip(sessions, jobs, strict=True), key=lambda one: one[1])
    return tuple(Filler(keys.agent_id, keys.session_id, count) for keys, count in largest if count)


def outbox_left(memory: Connection, keyspace: Keyspace) -> OutboxLeft:
    """What nobody could deliver at once. Raises MemoryServiceError."""
    sessions, first = memory.run_all(
        index.size(keyspace.outbox), outbox.late_sessions(keyspace, limit=1)
    )
    if not first:
        return OutboxLeft(sessions, None)
    # Its scores are in µs.
    age_s = memory.run(index.server_time_ms()) / 1000 - first[0].seen_ms / 1e6
    return OutboxLeft(sessions, max(0.0, age_s))


def letters_kept(memory: Connection, keyspace: Keyspace) -> int:
    """The dead letters of the sessions that had one last. Raises MemoryServiceError."""
    sessions = memory.run(dead_letters.sessions(keyspace, limit=SESSIONS_LOOKED_AT))
    sizes = [Command(integer, ("LLEN", keys.dead)) for keys in sessions]
    return sum(memory.run_each([ignore_corrupt(one, 0) for one in sizes]))

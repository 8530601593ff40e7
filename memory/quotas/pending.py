"""How many jobs are pending, in all and of each agent, without a look at any mailbox.

The mailboxes lie on many servers of a cluster, and no script may touch one together with a count of
all. So a job is counted by a command of its own, in the pipeline that takes it in, and released in
the one that notes its end as delivered. Where a process dies in between, the count is one too high
for a week at most (docs/decisions.md, "Jobs are counted beside their mailboxes").

Pure, as `mailbox`: functions return commands. Each is safe to repeat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from memory.keys import Keyspace
from memory.lifetimes import ADMISSION_MS, PENDING_MS
from memory.quotas.job_records import NOT_LISTED, Listed
from memory.quotas.owners import Owner, agent
from memory.quotas.usage import MOST_NAMES, Spent, days_around, model_row
from memory.records import index
from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.replies import after_ok, count, integer, optional, pairs, unexpected_reply

NOTE_JOB = LuaScript.load("quotas", "note_job")
RELEASE_JOBS = LuaScript.load("quotas", "release_jobs")


@dataclass(frozen=True, slots=True)
class PendingCounts:
    """Jobs that wait or run, in all and of one agent, and sessions as they were counted last.

    `is_new` says of a job that was to be counted whether it was not before.
    """

    pending: int = 0
    of_agent: int = 0
    sessions: int = 0
    is_new: bool = False

    @classmethod
    def from_reply(cls, reply: object) -> "PendingCounts":
        """Read the reply of note_job.lua."""
        match after_ok(reply):
            case [int(is_new), int(pending), int(of_agent), int(sessions)]:
                return cls(pending, of_agent, sessions, is_new == 1)
        raise unexpected_reply(reply)


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that counts no longer. `state` is how it has ended: "done", "failed", "cancelled",
    "merged" or "erased"; "" where it was not taken in. `spent` is what its turn has used."""

    job_id: str
    state: str = ""
    model: str = ""
    spent: Spent | None = None

    @property
    def packed(self) -> str:
        """What was used, as RELEASE_JOBS takes it."""
        return "" if self.spent is None else f"{model_row(self.model)} {self.spent.packed}"


def note(
    keyspace: Keyspace,
    job_id: str,
    owners: Sequence[Owner],
    *,
    wait_ms: int = 0,
    held_ms: int = PENDING_MS,
    listed: Listed = NOT_LISTED,
) -> Command[PendingCounts]:
    """Count a job for its owners, of whom the first is its agent, and list it so that it is found
    (`job_records`). Goes before it is taken in. It is not due before `wait_ms`, and counts for
    `held_ms` from then where nobody releases it.

    Where the counts are damaged, that is logged, and none are known.
    """
    counted = NOTE_JOB.command(
        PendingCounts.from_reply,
        keyspace.quotas,
        job=job_id,
        its_owners=owner_names(owners),
        pending_ms=held_ms + wait_ms,
        kept_ms=listed.kept_ms,
        most_records=listed.most,
        names=listed.names if listed.most else "",
    )
    return ignore_corrupt(counted, PendingCounts())


def look(keyspace: Keyspace, agent_id: str) -> Command[PendingCounts]:
    """What is pending, in all and of an agent."""
    return note(keyspace, "", (agent(agent_id),))


def size(keyspace: Keyspace) -> Command[int]:
    """How many jobs wait or run in all."""
    return Command(integer, ("ZCARD", keyspace.quotas.pending_jobs))


def of_owner(keyspace: Keyspace, owner: Owner) -> Command[int]:
    """How many jobs of an owner wait or run."""

    def read(count: bytes) -> int:
        return int(count) if count.isdigit() else 0

    return Command(
        lambda reply: optional(read)(reply) or 0, ("HGET", keyspace.quotas.counts, owner.name)
    )


def by_agent(keyspace: Keyspace) -> Command[dict[str, int]]:
    """How many jobs each agent has that wait or run; those that have none are left out."""

    def read(reply: object) -> dict[str, int]:
        return {
            _agent_of(owner): int(number)
            for owner, number in pairs(reply)
            if owner.startswith(b"a:") and number.isdigit()
        }

    return Command(read, ("HGETALL", keyspace.quotas.counts))


def fullest_agent(keyspace: Keyspace) -> Command[tuple[str, int]]:
    """The agent that has the most pending jobs, and how many; '' and 0 where none has any."""
    counts = by_agent(keyspace)

    def read(reply: object) -> tuple[str, int]:
        return max(counts.parse(reply).items(), key=lambda one: one[1], default=("", 0))

    return Command(read, counts.args)


def oldest(keyspace: Keyspace, *, now_ms: int, limit: int) -> Command[list[tuple[str, float]]]:
    """The jobs that wait or run and were due first, each with since when, ms of the server's clock;
    those that are due later come last, with a time to come."""
    # A job is counted for a minute while it is admitted, and from then on for PENDING_MS.
    admitted = index.oldest(
        keyspace.quotas.pending_jobs, since_ms=now_ms + ADMISSION_MS, limit=limit
    )

    def read(reply: object) -> list[tuple[str, float]]:
        return [(one.member, one.seen_ms - PENDING_MS) for one in admitted.parse(reply)]

    return Command(read, admitted.args)


def agents_of(keyspace: Keyspace, job_ids: Sequence[str]) -> Command[list[str | None]]:
    """The agents of jobs, at least one, that wait or run; None where one does not any more."""

    def read(reply: object) -> list[str | None]:
        if not isinstance(reply, list):
            raise unexpected_reply(reply)
        return [_first_agent(one) if isinstance(one, bytes) else None for one in reply]

    ids = [one.encode(errors="surrogateescape") for one in job_ids]
    return Command(read, ("HMGET", keyspace.quotas.owners, *ids))


def _first_agent(stored: bytes) -> str | None:
    # Before the agent there may be the attempt that has paid last.
    agents = (_agent_of(one) for one in stored.split() if one.startswith(b"a:"))
    return next(agents, None)


def _agent_of(owner: bytes) -> str:
    return unquote(owner.decode(errors="replace").removeprefix("a:"))


def release(
    keyspace: Keyspace, job_ids: Sequence[str], *, now_s: float | None = None
) -> Command[int]:
    """Count jobs, at least one, no longer that were not taken in; how many of them were counted."""
    return release_ended(keyspace, [EndedJob(one) for one in job_ids], now_s=now_s)


def release_ended(
    keyspace: Keyspace, ended: Sequence[EndedJob], *, now_s: float | None = None
) -> Command[int]:
    """Count jobs, at least one, no longer, and what they have used: once. How many were counted."""
    first_day, days = days_around(keyspace, now_s)
    released = RELEASE_JOBS.command(
        count,
        keyspace.quotas,
        more_keys=days,
        first_day=first_day,
        most_names=MOST_NAMES,
        jobs=tuple(part for one in ended for part in (one.job_id, one.state, one.packed)),
    )
    return ignore_corrupt(released, 0)


def owner_names(owners: Sequence[Owner]) -> str:
    """Owners as the scripts take them."""
    return " ".join(owner.name for owner in owners)

"""The delayed jobs of a session: kept until they are due, and then taken in as any other.

DELAY keeps a job beside its mailbox, under the session's keys, and has the session looked at when
the job is due. Who looks sends the job again, as its sender would have done then; that is safe to
repeat, so any number may look, and one that dies in between costs the time until the next look.
"""

from dataclasses import dataclass

from memory.keys import Keyspace, SessionKeys
from memory.mailbox.due_sessions import DueSessions
from memory.mailbox.outcomes import JobToWake
from memory.redis.command import Command, LuaScript
from memory.redis.replies import after_ok, pairs, unexpected_reply

RIPE = LuaScript.load("mailbox", "ripe")
SCRIPTS = (RIPE,)


@dataclass(frozen=True, slots=True)
class RipeJobs:
    """The jobs that are due, and in how long the first of the others is; None: there is none."""

    jobs: tuple[JobToWake, ...]
    wait_ms: int | None

    @classmethod
    def from_reply(cls, reply: object) -> "RipeJobs":
        """Read the reply of ripe.lua."""
        match after_ok(reply):
            case [int(wait_ms), *rest]:
                jobs = tuple(JobToWake(job.decode(), envelope) for job, envelope in pairs(rest))
                return cls(jobs, None if wait_ms < 0 else wait_ms)
        raise unexpected_reply(reply)


def delayed_sessions(keyspace: Keyspace) -> DueSessions:
    """The sessions that have delayed jobs, each with the time at which the first of them is due."""
    return DueSessions(keyspace.delayed)


def ripe(keys: SessionKeys, *, limit: int) -> Command[RipeJobs]:
    """The jobs of a session that are due by now."""
    return RIPE.command(RipeJobs.from_reply, keys, limit=limit)


def due_at_ms(keys: SessionKeys, job_id: str) -> Command[int | None]:
    """When a delayed job is due, Unix time; None: it is not delayed, or not any more."""

    def read(reply: object) -> int | None:
        match reply:
            case None:
                return None
            case float() | bytes():
                return int(float(reply))
        raise unexpected_reply(reply)

    return Command(read, ("ZSCORE", keys.delayed, job_id))

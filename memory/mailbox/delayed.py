"""The delayed jobs of a session: kept until they are due, and then taken in as any other.

DELAY keeps a job beside its mailbox, under the session's keys, and has the session looked at when
the job is due. Who looks sends the job again, as its sender would have done then; that is safe to
repeat, so any number may look, and one that dies in between costs the time until the next look.
"""

from dataclasses import dataclass

from memory.keys import Keyspace, SessionKeys
from memory.mailbox import due_list
from memory.mailbox.due import IDLE_MS
from memory.mailbox.due_list import DueEntry
from memory.mailbox.outcomes import JobToWake
from memory.redis.command import Command, LuaScript
from memory.redis.replies import after_ok, flag, integer, pairs, unexpected_reply

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


@dataclass(frozen=True, slots=True)
class Delayed:
    """The commands on the list of sessions that have delayed jobs. Any number may look at once."""

    keyspace: Keyspace

    def entries(self, *, limit: int) -> Command[list[DueEntry]]:
        """The sessions to look at by now, the longest due first."""
        return due_list.due(self.keyspace.delayed, limit=limit)

    def next_at_ms(self) -> Command[float | None]:
        """When the first session is to be looked at, by the server's clock; None: there is none."""

        def read(reply: object) -> float | None:
            found = [float(at_ms) for _, at_ms in pairs(reply)]
            return found[0] if found and found[0] < due_list.FAR_MS else None

        return Command(read, ("ZRANGE", self.keyspace.delayed, 0, 0, "WITHSCORES"))

    def ripe(self, keys: SessionKeys, *, limit: int) -> Command[RipeJobs]:
        """The jobs of a session that are due by now."""
        return RIPE.command(RipeJobs.from_reply, keys, limit=limit)

    def put_off(self, entry: DueEntry, delay_ms: int) -> Command[bool]:
        """Look again in `delay_ms`. False: somebody else has the entry, or it has changed."""
        return due_list.settle(
            self.keyspace.delayed, entry.history_key, seen_ms=entry.at_ms, delay_ms=delay_ms
        )

    def look_in(self, keys: SessionKeys, delay_ms: int) -> Command[int]:
        """Look in `delay_ms` at the latest."""
        return due_list.schedule(self.keyspace.delayed, keys.history, delay_ms=delay_ms)

    def leave(self, entry: DueEntry) -> Command[bool]:
        """Note that a session has no delayed jobs; the second time, ten minutes later, it is off
        the list: no sender is between SCHEDULE and DELAY any more."""
        is_old = bool(entry.at_ms % 1)
        return due_list.settle(
            self.keyspace.delayed,
            entry.history_key,
            seen_ms=entry.at_ms,
            delay_ms=None if is_old else IDLE_MS,
            is_idle=not is_old,
        )

    def forget(self, entry: DueEntry) -> Command[bool]:
        """Drop an entry that is not the key of a history."""
        member = entry.stored or entry.history_key
        return Command(flag, ("ZREM", self.keyspace.delayed, member))

    def add_stray(self, history_key: str) -> Command[bool]:
        """Have a session looked at that has no entry; one that has is left alone."""
        return Command(flag, ("ZADD", self.keyspace.delayed, "NX", 0, history_key))


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


def size(keys: SessionKeys) -> Command[int]:
    """How many delayed jobs a session has."""
    return Command(integer, ("ZCARD", keys.delayed))

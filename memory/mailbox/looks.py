"""Looking at a job that waits or runs, from outside."""

from dataclasses import dataclass
from enum import StrEnum

from memory.keys import SessionKeys
from memory.mailbox.outcomes import Acquired, JobToWake, read_stop
from memory.priority import Priority
from memory.redis.command import Command
from memory.redis.replies import integer, optional, strings, unexpected_reply

MAX_DIGITS = 18
_LEASE = (
    "token",
    "until",
    "job",
    "attempt",
    "not_before",
    "slot_wait_until",
    "servers_away_since",
    "paused",
)


class Why(StrEnum):
    """What a job that is in its mailbox does there."""

    RUNNING = "running"
    BEHIND = "behind"
    """Another job of its session is before it."""
    SLOT = "slot"
    SERVER = "server"
    """No server of its model answers."""
    PAUSED = "paused"
    """An operator has paused what it needs."""
    BACKOFF = "backoff"
    """Its last attempt failed."""
    SCHEDULED = "scheduled"
    """It is not due yet."""
    WAKE = "wake"
    """Nothing keeps it: a worker is about to take it."""


@dataclass(frozen=True, slots=True)
class HeadLook:
    """What a lease says of the head of its mailbox: `until_ms` is when a back-off ends."""

    job_id: str
    why: Why
    attempts: int
    until_ms: int | None = None


def stored(keys: SessionKeys, job_id: str) -> Command[JobToWake | None]:
    """The job as it lies in its mailbox; None where it is over."""
    read = optional(lambda envelope: JobToWake(job_id, envelope))
    return Command(read, ("HGET", keys.jobs, job_id))


def are_any(keys: SessionKeys) -> Command[int]:
    """1 where a session has jobs that wait or run, else 0."""
    return Command(integer, ("EXISTS", keys.queue))


def asked_meanwhile(
    keys: SessionKeys, job_id: str, acquired: Acquired
) -> Command[JobToWake | None]:
    """The job that was acquired, if it is to be woken: somebody has asked since then to stop it, or
    has made its session more urgent."""

    def read(reply: object) -> JobToWake | None:
        match reply:
            case [job, stop, until, since]:
                priority = _priority(acquired.seq_us, until, since)
                is_lifted = priority.rank < acquired.priority.rank
                if read_stop([job, stop], job_id) is None and not is_lifted:
                    return None
                return JobToWake(job_id, acquired.envelope, priority)
        raise unexpected_reply(reply)

    fields = ("stop_job", "stop", "interactive_until", "batch_from")
    return Command(read, ("HMGET", keys.lease, *fields))


def _priority(seq_us: int, interactive_until: object, batch_from: object) -> Priority:
    # As session_class.lua has it.
    if seq_us <= _number(interactive_until):
        return Priority.INTERACTIVE
    return Priority.BATCH if batch_from and seq_us >= _number(batch_from) else Priority.NORMAL


def has_begun(keys: SessionKeys, job_id: str) -> Command[bool]:
    """Whether an attempt at the job is being made, or has counted; False of one that only waits."""

    def read(reply: object) -> bool:
        match reply:
            case [bytes(head), bytes(attempt)]:
                return head.decode(errors="replace") == job_id and attempt != b"0"
            case [_, _]:
                return False
        raise unexpected_reply(reply)

    return Command(read, ("HMGET", keys.lease, "job", "attempt"))


def head(keys: SessionKeys, *, now_ms: int) -> Command[HeadLook]:
    """Why the head of a mailbox is where it is, by the server's clock. Changes nothing."""

    def read(reply: object) -> HeadLook:
        match reply:
            case [token, until, job, attempt, not_before, slot_wait, away, paused]:
                times = (_number(until), _number(not_before), _number(slot_wait))
                waits_for = Why.SLOT if away is None else Why.SERVER
                waits_for = waits_for if paused is None else Why.PAUSED
                why = _why(now_ms, times, is_held=token is not None, waits_for=waits_for)
                ends_ms = times[1] if why is Why.BACKOFF else None
                name = job.decode(errors="replace") if isinstance(job, bytes) else ""
                return HeadLook(name, why, _number(attempt), ends_ms)
        raise unexpected_reply(reply)

    return Command(read, ("HMGET", keys.lease, *_LEASE))


def _why(now_ms: int, times: tuple[int, int, int], *, is_held: bool, waits_for: Why) -> Why:
    until_ms, not_before_ms, slot_wait_ms = times
    if is_held and until_ms > now_ms:
        return Why.RUNNING
    if slot_wait_ms > now_ms:
        return waits_for
    return Why.BACKOFF if not_before_ms > now_ms else Why.WAKE


def _number(stored: object) -> int:
    is_one = isinstance(stored, bytes) and stored.isdigit() and len(stored) <= MAX_DIGITS
    return int(stored) if is_one else 0  # type: ignore[call-overload]  # bytes, as was asked


def rank(keys: SessionKeys, job_id: str) -> Command[int | None]:
    """How many jobs of its session come before one; None of one that is over."""
    return Command(
        lambda reply: None if reply is None else integer(reply), ("ZRANK", keys.queue, job_id)
    )


def taken_in_ms(keys: SessionKeys, job_id: str) -> Command[int | None]:
    """When a job was taken in, by the server's clock; None of one that is over."""

    def read(reply: object) -> int | None:
        match reply:
            case None:
                return None
            case bytes() | float():
                return round(float(reply) / 1000)
        raise unexpected_reply(reply)

    return Command(read, ("ZSCORE", keys.queue, job_id))


def first(keys: SessionKeys) -> Command[str | None]:
    """The head of a mailbox; None of an empty one."""

    def read(reply: object) -> str | None:
        found = strings(reply)
        return found[0].decode(errors="replace") if found else None

    return Command(read, ("ZRANGE", keys.queue, 0, 0))

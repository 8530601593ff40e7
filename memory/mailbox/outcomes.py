"""What the mailbox answers, as values. `from_reply` reads the reply of one Lua operation.

The codes are the operations' own; memory/*/lua/*.lua says when each is given. A reply of another
shape, and the code CORRUPT, raise CorruptData.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from memory.errors import CorruptData
from memory.priority import Priority
from memory.redis.replies import code_and_rest, strings, unexpected_reply

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class JobToWake:
    """A job to be woken: who gets one publishes its wake-up. `priority` is that of its session;
    None: of the job itself."""

    job_id: str
    envelope: bytes = field(repr=False)
    priority: Priority | None = field(default=None, compare=False)


class StopPolicy(StrEnum):
    """What becomes of a turn that is stopped: kept as far as it came, or not recorded."""

    KEEP = "keep"
    DISCARD = "discard"


class AcquireOutcome(StrEnum):
    """Whether the caller runs the job now, and if not, why."""

    RUN = "RUN"
    DONE = "DONE"
    GONE = "GONE"
    UNKNOWN = "UNKNOWN"
    BUSY = "BUSY"
    NOT_HEAD = "NOT_HEAD"
    WAIT = "WAIT"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class Acquired:
    """The answer to ACQUIRE.

    RUN fills `seq_us`, `attempt` (from 1), `envelope`, `history` (raw messages, oldest first; the
    last of `stored_messages`), `away_ms` (for how long it waits for its model's servers),
    `priority` (that of the session) and, where the job was asked to stop and its holder died,
    `stop`;
    BUSY and WAIT fill `wait_ms`; NOT_HEAD fills `head`; GONE, UNKNOWN and DEAD may fill `next`.
    """

    outcome: AcquireOutcome
    seq_us: int = 0
    attempt: int = 0
    envelope: bytes = field(default=b"", repr=False)
    history: tuple[bytes, ...] = field(default=(), repr=False)
    next: JobToWake | None = None
    head: JobToWake | None = None
    wait_ms: int = 0
    stop: StopPolicy | None = None
    stored_messages: int = 0
    away_ms: int = 0
    priority: Priority = Priority.NORMAL

    def to_wake(self, job_id: str) -> JobToWake:
        """The job that was to run, to be woken once more."""
        return JobToWake(job_id, self.envelope, self.priority)

    @classmethod
    def from_reply(cls, reply: object) -> "Acquired":
        """Read the reply of acquire.lua."""
        outcome, rest = code_and_rest(AcquireOutcome, reply)
        match outcome, rest:
            case AcquireOutcome.DONE, []:
                return cls(outcome)
            # The history comes with the job: a turn costs one round trip before its model call.
            case AcquireOutcome.RUN, [
                int(seq),
                int(n),
                bytes(job),
                list(past),
                bytes(stop),
                int(m),
                int(away),
                *urgency,
            ]:
                history = tuple(strings(past))
                return cls(
                    outcome,
                    seq,
                    n,
                    job,
                    history,
                    stop=_policy(stop) if stop else None,
                    stored_messages=m,
                    away_ms=away,
                    priority=_priority(urgency),
                )
            case ((AcquireOutcome.BUSY | AcquireOutcome.WAIT), [int(wait_ms)]):
                return cls(outcome, wait_ms=wait_ms)
            case AcquireOutcome.NOT_HEAD, [bytes(job), bytes(envelope), *urgency]:
                return cls(outcome, head=_waiting(job, envelope, urgency))
            case _, [bytes(job), bytes(envelope), *urgency]:
                return cls(outcome, next=_waiting(job, envelope, urgency))
        raise unexpected_reply(reply)


class CommitOutcome(StrEnum):
    """Whether the turn is in the history."""

    OK = "OK"
    ALREADY = "ALREADY"
    GONE = "GONE"
    FENCED = "FENCED"
    REORDER = "REORDER"


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer to COMMIT. OK and ALREADY are success; FENCED and REORDER drop the output."""

    outcome: CommitOutcome
    next: JobToWake | None = None

    @classmethod
    def from_reply(cls, reply: object) -> "Committed":
        """Read the reply of commit.lua."""
        return cls(*_code_and_next(CommitOutcome, reply))


class Ending(StrEnum):
    """How a job ends that is discarded."""

    CANCELLED = "cancelled"
    FAILED = "failed"
    """It has failed, and nobody is to send it again: there is no dead letter."""
    DEAD = "dead"
    """It has failed, and is a dead letter."""


class DiscardOutcome(StrEnum):
    """Whether the job is out of the mailbox without a turn."""

    DISCARDED = "DISCARDED"
    GONE = "GONE"
    DONE = "DONE"
    RUNNING = "RUNNING"


@dataclass(frozen=True, slots=True)
class Discarded:
    """The answer to DISCARD. DISCARDED and GONE (a repeat) are success."""

    outcome: DiscardOutcome
    next: JobToWake | None = None

    @classmethod
    def from_reply(cls, reply: object) -> "Discarded":
        """Read the reply of discard.lua."""
        return cls(*_code_and_next(DiscardOutcome, reply))


def _policy(stored: bytes) -> StopPolicy:
    try:
        return StopPolicy(stored.decode())
    except ValueError as exc:
        raise CorruptData("the cancel policy in a lease is unknown") from exc


def read_stop(reply: object, job_id: str) -> StopPolicy | None:
    """The policy in HMGET's [stop_job, stop], where it is about this job."""
    match reply:
        case [bytes(job), bytes(policy)] if job == job_id.encode():
            return _policy(policy)
        case [_, _]:
            return None
    raise unexpected_reply(reply)


class SweepOutcome(StrEnum):
    """What a mailbox needs."""

    IDLE = "IDLE"
    BUSY = "BUSY"
    WAIT = "WAIT"
    WOKEN = "WOKEN"
    WAKE = "WAKE"


@dataclass(frozen=True, slots=True)
class Swept:
    """The answer to SWEEP: WAKE fills `head`; `wait_ms` is how long nothing more is needed."""

    outcome: SweepOutcome
    head: JobToWake | None = None
    wait_ms: int = 0

    @classmethod
    def from_reply(cls, reply: object) -> "Swept":
        """Read the reply of sweep.lua."""
        outcome, rest = code_and_rest(SweepOutcome, reply)
        match rest:
            case []:
                return cls(outcome)
            case [int(wait_ms)]:
                return cls(outcome, wait_ms=wait_ms)
            case [bytes(job), bytes(envelope), int(wait_ms), *urgency]:
                return cls(outcome, _waiting(job, envelope, urgency), wait_ms)
        raise unexpected_reply(reply)


class CleanOutcome(StrEnum):
    """Whether a stale session was deleted, and if not, why."""

    PENDING = "PENDING"
    BUSY = "BUSY"
    FRESH = "FRESH"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The answer to CLEAN; `amount` is in jobs (PENDING), keys (DELETED) or ms (BUSY, FRESH)."""

    outcome: CleanOutcome
    amount: int

    @classmethod
    def from_reply(cls, reply: object) -> "Cleaned":
        """Read the reply of clean.lua."""
        outcome, rest = code_and_rest(CleanOutcome, reply)
        match rest:
            case [int(amount)]:
                return cls(outcome, amount)
        raise unexpected_reply(reply)


def _code_and_next(outcomes: type[E], reply: object) -> tuple[E, JobToWake | None]:
    outcome, rest = code_and_rest(outcomes, reply)
    match rest:
        case []:
            return outcome, None
        case [bytes(job), bytes(envelope), *urgency]:
            return outcome, _waiting(job, envelope, urgency)
    raise unexpected_reply(reply)


def _waiting(job: bytes, envelope: bytes, urgency: Sequence[object]) -> JobToWake | None:
    priority = _priority(urgency)
    return JobToWake(job.decode(), envelope, priority) if job else None


def _priority(urgency: Sequence[object]) -> Priority:
    """How urgent a session is, as a reply ends: a normal one says nothing."""
    match urgency:
        case []:
            return Priority.NORMAL
        case [b"interactive" | b"batch" as name]:
            return Priority(name.decode())
    raise unexpected_reply(urgency)

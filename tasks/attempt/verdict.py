"""What an attempt says its Celery task shall do. Pure values.

`wake` is the job that is now the head of the mailbox: its wake-up is to be published. An end that
the attempt has made lies in the outbox of the session, and is to be delivered; `end` is it where
the attempt knows all of it.
"""

from dataclasses import dataclass
from typing import TypeAlias

from memory import Discarded, DiscardOutcome, End, JobToWake
from tasks.errors import ChatError
from tasks.job.result import ChatResult

UNKNOWN_JOB = "this job is unknown: its mailbox is gone, or it was sent without `message`"
"""A wake-up names agent and session, and so does a raw job that lacks the rest."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The turn is committed: return the result."""

    result: ChatResult
    wake: JobToWake | None = None
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """The attempt failed, the job stays the head: retry in `delay_s`."""

    error: ChatError
    delay_s: float
    wake: None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is over without an answer: fail with `error`."""

    error: ChatError
    wake: JobToWake | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The job was never in a mailbox: fail with `error`, as any task of Celery's."""

    error: ChatError
    wake: JobToWake | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The job was cancelled while it ran: end it as revoked."""

    wake: JobToWake | None = None


@dataclass(frozen=True, slots=True)
class NotNow:
    """This message has nothing to do: another will come, or (`is_over`) the job is over already.

    It ends without a result. With `again_in_s` it is sent once more, for then: any worker may take
    it.
    """

    reason: str
    wake: JobToWake | None = None
    is_over: bool = False
    again_in_s: float | None = None


Verdict: TypeAlias = Answered | Later | Ended | Refused | Cancelled | NotNow


def after_discard(discarded: Discarded, verdict: Ended | Cancelled) -> Verdict:
    """`verdict`, if this attempt has taken the job out; who has lost the lease says nothing."""
    match discarded.outcome:
        case DiscardOutcome.DISCARDED:
            return verdict
        case DiscardOutcome.RUNNING:
            return NotNow("lease lost")
    # Perhaps it was this attempt, and the reply was lost: the outbox knows.
    return NotNow("is over", discarded.next, is_over=True)


def may_have_end(verdict: Verdict) -> bool:
    """Whether an end of the job may wait to be delivered."""
    is_over = isinstance(verdict, NotNow) and verdict.is_over
    return is_over or isinstance(verdict, Answered | Ended | Cancelled)

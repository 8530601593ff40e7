"""What an attempt says its Celery task shall do. Pure values.

`wake` is the job that is now the head of the mailbox: its wake-up is to be published.
"""

from dataclasses import dataclass
from typing import TypeAlias

from memory import JobToWake
from tasks.errors import ChatError
from tasks.job.result import ChatResult


@dataclass(frozen=True, slots=True)
class Answered:
    """The turn is committed: return the result.

    `is_repeat`: an earlier attempt committed it, whose result may be stored, with more in it.
    """

    result: ChatResult
    wake: JobToWake | None = None
    is_repeat: bool = False


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
class Cancelled:
    """The job was cancelled while it ran: end it as revoked."""

    wake: JobToWake | None = None


@dataclass(frozen=True, slots=True)
class AlreadyOver:
    """The job was over before this message came: end it so, unless its result is there.

    `failure` is why it is a dead letter; None: it was cancelled.
    """

    failure: str | None
    wake: JobToWake | None = None


@dataclass(frozen=True, slots=True)
class NotNow:
    """This message has nothing to do now; another will. End it without a result."""

    reason: str
    wake: JobToWake | None = None


Verdict: TypeAlias = Answered | Later | Ended | Cancelled | AlreadyOver | NotNow

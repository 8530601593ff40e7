"""Which job the code that runs now is about: each line that it logs says so.

It goes along with a coroutine and the tasks that it starts. A task that serves all jobs is created
with `context=Context()`, or its lines would name the job that happened to be the first.
"""

import logging
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from memory.ids import shown_id
from memory.quoting import quoted
from tasks.job.envelope import JobRef
from tasks.job.sender import Sender

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class JobInLog:
    """A job as lines of the log name it: its ids as `shown_id` shows them."""

    job: str
    agent: str
    session: str
    attempt: int | None = None
    """The number of the attempt that runs or has run, from 1; None before it has the lease."""
    request: str | None = None
    """The request of a gateway that the job came with; its lines in the gateway's log have it."""
    trace: str | None = None
    """The job's trace, where it has one: 32 hex digits."""

    @classmethod
    def of(cls, ref: JobRef) -> Self:
        """As the lines about this job name it."""
        return cls(shown_id(ref.job_id), shown_id(ref.agent_id), shown_id(ref.session_id))


_current: ContextVar[JobInLog | None] = ContextVar("job_in_log", default=None)


def job_in_log() -> JobInLog | None:
    """The job that this code is about, None where it is about none."""
    return _current.get()


class _About:
    """What `log_about` gives: a quarter of what a generator would cost."""

    def __init__(self, job: JobInLog | None) -> None:
        self._job = job

    def __enter__(self) -> None:
        self._token = _current.set(self._job)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def log_about(job: JobInLog | None) -> AbstractContextManager[None]:
    """Have the lines that are logged in this block carry the ids of this job."""
    return _About(job)


def log_attempt(number: int) -> None:
    """Have the lines about the current job carry the number of its attempt."""
    job = _current.get()
    if job is not None:
        job.attempt = number


def log_trace(trace_id: str | None) -> None:
    """Have the lines about the current job carry its trace."""
    job = _current.get()
    if job is not None:
        job.trace = trace_id


def log_sender(sender: Sender | None) -> None:
    """Say which request the current job came with, where it came through a gateway, and have the
    lines about the job carry it."""
    job = _current.get()
    if job is None or sender is None:
        return
    job.request = shown_id(sender.request_id)
    logger.info(
        "job %s, attempt %s, answers request %s of %s",
        job.job, job.attempt, job.request, quoted(sender.key),
    )  # fmt: skip

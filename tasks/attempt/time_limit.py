"""A turn that runs for too long: it is stopped, and its job fails with what was said so far.

The time is that of one attempt, by this process's monotonic clock, while it may call a model, its
own or a fallback: what a job waits for, a slot or servers that are away, is not in it.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import JsonValue

from agents import Profile
from memory import EventType
from memory.ids import shown_id
from tasks.errors import JobTimeout
from tasks.job.failure_code import FailureCode
from tasks.job.job import ChatJob
from tasks.process.stopping import Stoppable, StopReason

logger = logging.getLogger(__name__)


def turn_timeout_s(job: ChatJob, profile: Profile) -> float | None:
    """How long a turn of the job may run, seconds: its own bound comes before its agent's."""
    return profile.timeout_s if job.timeout_s is None else job.timeout_s


class TimeLimit:
    """What an attempt has used of its time; its turns with fallback models count together."""

    def __init__(self) -> None:
        self._used_s = 0.0

    @contextmanager
    def over(self, stoppable: Stoppable, timeout_s: float | None) -> Iterator[None]:
        """Stop what runs within the block once all such blocks have taken so long; None: never."""
        if timeout_s is None:
            yield
            return
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        timer = loop.call_at(
            began_s + timeout_s - self._used_s, stoppable.stop, StopReason.TIMED_OUT
        )
        try:
            yield
        finally:
            timer.cancel()
            self._used_s += loop.time() - began_s


def timed_out(job_id: str, job: ChatJob, profile: Profile) -> JobTimeout:
    """Why a job fails whose turn was stopped; the log is told."""
    timeout_s = turn_timeout_s(job, profile) or 0.0
    logger.info("job %s has failed: its turn ran for timeout_s=%g", shown_id(job_id), timeout_s)
    return JobTimeout.after(timeout_s)


def ending_of(error: JobTimeout | None) -> tuple[EventType, dict[str, JsonValue]]:
    """The last event of a turn that was stopped in the middle: its type and data."""
    if error is None:
        return EventType.CANCELLED, {}
    return EventType.FAILED, {"error": str(error), "code": FailureCode.TIMEOUT}

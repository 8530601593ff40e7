"""Where the attempt that this code is about stands in the trace of its job.

It goes along with a coroutine and the tasks that it starts, as `log_context` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from telemetry import tracing


@dataclass(slots=True)
class AttemptPlace:
    """The places of an attempt and of its job; empty as long as they are not known."""

    attempt: tracing.Carrier
    job: tracing.Carrier


_current: ContextVar[AttemptPlace | None] = ContextVar("attempt_place", default=None)


@contextmanager
def placed(place: AttemptPlace) -> Iterator[None]:
    """Have the code of this block be about an attempt."""
    token = _current.set(place)
    try:
        yield
    finally:
        _current.reset(token)


def place_of_attempt() -> tracing.Carrier:
    """The place of the current attempt; empty where there is no trace."""
    place = _current.get()
    return {} if place is None else place.attempt


def trace_wait(sent_at: float, taken_at: float) -> None:
    """Have the job's trace show for how long it was queued, from one Unix time to another."""
    place = _current.get()
    if place is None or not place.attempt:
        return
    waited = tracing.begun(
        "queued", within=place.job or place.attempt, start_ns=round(sent_at * 1e9)
    )
    waited.end(round(max(sent_at, taken_at) * 1e9))

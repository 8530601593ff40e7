"""Where a job is: it waits, it runs, or it is over. For whoever knows its id."""

from dataclasses import dataclass, field
from enum import StrEnum

from memory import JobToWake, SessionKeys
from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope


class JobState(StrEnum):
    """Where a job is."""

    SCHEDULED = "scheduled"
    """It takes its place when it is due."""
    WAITING = "waiting"
    RUNNING = "running"
    """An attempt is being made, or has counted and the next one is to come."""
    OVER = "over"
    LOST = "lost"
    """It was taken in, and nothing is left of it: Redis was emptied."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A job, its session, and where it is; of one that is not over, what was asked."""

    job_id: str
    keys: SessionKeys
    state: JobState
    envelope: Envelope | None = field(default=None, repr=False)
    due_at_ms: int | None = None
    """When a scheduled job is due, Unix time."""


def standing_of(
    keys: SessionKeys,
    job_id: str,
    *,
    is_pending: bool,
    is_committed: bool | None,
    has_begun: bool,
    due_at_ms: int | None,
    stored: JobToWake | None,
) -> Standing:
    """What these answers of Redis say of a job. Raises memory.CannotRead."""
    if is_committed is not None:
        return Standing(job_id, keys, JobState.OVER)
    if not is_pending:
        return Standing(job_id, keys, JobState.LOST)
    state = JobState.RUNNING if has_begun else JobState.WAITING
    if due_at_ms is not None:
        state = JobState.SCHEDULED
    try:
        envelope = Envelope.of(keys, stored) if stored is not None else None
    except InvalidJob:  # of another program: its worker will say so
        envelope = None
    return Standing(job_id, keys, state, envelope, due_at_ms)

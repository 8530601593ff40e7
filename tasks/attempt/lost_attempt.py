"""An attempt whose worker died in it, from what is left of it: its live events."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from memory import (
    AsyncConnection,
    CorruptData,
    Event,
    EventType,
    LastAttempt,
    MemoryServiceError,
    SessionKeys,
    events,
)
from memory.ids import shown_id
from tasks.job.envelope import JobRef
from telemetry import tracing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt that nobody has ended: its place in its trace, when it asked its model first and
    when it was seen last, Unix time in milliseconds."""

    attempt: int
    trace_id: int
    span_id: int
    began_ms: int
    seen_ms: int


async def lost_before(
    memory: AsyncConnection, keys: SessionKeys, job_id: str, attempt: int
) -> Lost | None:
    """The attempt before `attempt`, if its worker died; None, too, where its events are gone."""
    found: list[Event] = []
    before = events.NEWEST
    try:
        while page := await memory.run(events.read_back(keys, before)):
            found += [one for one in page if one.job_id == job_id and one.attempt == attempt - 1]
            if any(one.type is EventType.QUEUED and one.job_id == job_id for one in page):
                break
            before = events.before(page[-1].cursor)
    except MemoryServiceError as exc:
        logger.info("the trace of job %s lacks an attempt that was lost: %s", shown_id(job_id), exc)
        return None
    return lost_of(found)


def lost_of(found: Sequence[Event]) -> Lost | None:
    """The same, of the events of one attempt, the newest first."""
    turned = [one for one in found if one.type in (EventType.STARTED, EventType.WAITING)]
    # One that waits, for a slot or to be tried again, has ended itself.
    if not turned or turned[0].type is EventType.WAITING:
        return None
    place = tracing.ids_of(turned[0].data)
    if place is None:
        return None
    own = [one for one in turned if tracing.ids_of(one.data) == place]
    return Lost(own[0].attempt, *place, began_ms=_moment(own[-1]), seen_ms=_moment(found[0]))


def _moment(event: Event) -> int:
    return int(event.cursor.partition("-")[0])


async def said_before(memory: AsyncConnection, keys: SessionKeys, ref: JobRef) -> str:
    """What it said of the reply; empty where its events are gone."""
    attempt, before = LastAttempt(ref.job_id), events.NEWEST
    try:
        while not attempt.is_whole:
            page = await memory.run(events.read_back(keys, before))
            attempt.take(page)
            before = events.before(page[-1].cursor) if page else before
    except CorruptData as exc:
        logger.warning("live events of job %s are lost, its history is not: %s", ref.shown, exc)
    return attempt.text

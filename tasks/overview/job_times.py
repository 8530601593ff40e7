"""Where a job's time went, from the events that its session keeps. No words of the conversation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from memory import Connection, Event, EventType, Keyspace, events, locate
from memory.quoting import quoted
from memory.records.event import ENDINGS
from tasks.submit.follow import unknown_job
from telemetry import tracing

WAITS = {
    "slot": "waits for a slot of its model",
    "servers_away": "waits for its model's servers",
    "paused": "waits, paused",
    "retry": "waits to be tried again",
}
BEGUN = {
    EventType.SCHEDULED: "waits until it is due",
    EventType.QUEUED: "queued",
    EventType.STARTED: "model, until its first token",
    **dict.fromkeys(ENDINGS, ""),
}
"""What goes on from an event of these types; "" nothing more."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What went on from one moment to another, Unix time in milliseconds; `ended_ms` is None of
    what goes on still. `attempt` is 0 where none has begun."""

    what: str
    attempt: int
    began_ms: int
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True)
class JobTimes:
    """A job's time, stretch by stretch. `state` is how it has ended, or "open"; `reason` is why it
    failed, `trace` the id of its trace, `timings` and `server` what its result says."""

    job_id: str
    agent_id: str
    session_id: str
    state: str
    attempts: int
    stretches: tuple[Stretch, ...] = ()
    model: str | None = None
    server: str | None = None
    reason: str | None = None
    trace: str | None = None
    timings: dict[str, JsonValue] = field(default_factory=dict)


def times_of(memory: Connection, keyspace: Keyspace, job_id: str) -> JobTimes:
    """Where the time of a job went, as far as its events are kept: none are left of one that was
    sent long ago, or whose session has said much since.

    Raises InvalidJob for an id that nobody knows, and memory.MemoryServiceError.
    """
    keys = memory.run(locate(keyspace, job_id))
    if keys is None:
        raise unknown_job(job_id)
    found: list[Event] = []
    before, is_whole = events.NEWEST, False
    while not is_whole and (page := memory.run(events.read_back(keys, before))):
        mine = [one for one in page if one.job_id == job_id]
        found += mine
        is_whole = any(one.type is EventType.SCHEDULED for one in mine)
        before = events.before(page[-1].cursor)
    known = JobTimes(job_id, keys.agent_id, keys.session_id, "open", 0)
    return told_by(found[::-1], known)


def told_by(found: Sequence[Event], known: JobTimes) -> JobTimes:
    """What the events of a job say of its time, the oldest first."""
    stretches = tuple(_stretches(found))
    last = found[-1] if found else None
    if last is not None and last.type in ENDINGS:
        known = replace(known, state=last.type.value)
        if last.type is EventType.DONE:
            known = _with_result(known, last)
        elif isinstance(error := last.data.get("error"), str):
            known = replace(known, reason=error)
    started = [one for one in found if one.type is EventType.STARTED]
    place = tracing.checked(started[-1].data).get(tracing.PARENT) if started else None
    return replace(
        known,
        attempts=max((one.attempt for one in found), default=0),
        stretches=stretches,
        model=known.model or (quoted(started[-1].data.get("model")) if started else None),
        trace=place.split("-")[1] if place else None,
    )


def _with_result(known: JobTimes, done: Event) -> JobTimes:
    server, timings = done.data.get("server"), done.data.get("timings")
    return replace(
        known,
        server=server if isinstance(server, str) else None,
        timings=timings if isinstance(timings, dict) else {},
    )


def _stretches(found: Sequence[Event]) -> Iterator[Stretch]:
    """From one event that changes what goes on to the next."""
    going: Stretch | None = None
    for event in found:
        what = _begun_by(event, going)
        if what is None:
            continue
        at_ms = int(event.cursor.partition("-")[0])
        if going is not None:
            is_lost = event.type is EventType.STARTED and 0 < going.attempt < event.attempt
            is_lost = is_lost and not going.what.startswith("waits")
            yield replace(going, ended_ms=at_ms)
            if is_lost:
                yield Stretch("lost: its worker is gone", going.attempt, at_ms, at_ms)
        going = None if what == "" else Stretch(what, event.attempt, at_ms)
    if going is not None:
        yield going


def _begun_by(event: Event, going: Stretch | None) -> str | None:
    """What goes on from an event; "" nothing more, None what went on before."""
    if event.type in BEGUN:
        return BEGUN[event.type]
    match event.type:
        case EventType.WAITING:
            return WAITS.get(str(event.data.get("reason")), "waits")
        case EventType.TOOL_CALL:
            is_over = "is_error" in event.data
            return "model, after a tool" if is_over else f"tool {quoted(event.data.get('name'))}"
        case EventType.TOKEN | EventType.THINKING if going is None or going.what[:5] == "model":
            return "reply"
    return None

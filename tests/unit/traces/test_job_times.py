"""`griot trace`: where a job's time went, from its events."""

from pydantic import JsonValue

from memory import Event, EventType
from tasks.overview.job_times import JobTimes, told_by

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PLACE = f"00-{TRACE}-00f067aa0ba902b7-01"
KNOWN = JobTimes("j-1", "energy", "s-1", "open", 0)


def event(at_ms: int, kind: EventType, attempt: int = 1, **data: JsonValue) -> Event:
    """An event of the job."""
    return Event(kind, "j-1", attempt, data=data, cursor=f"{at_ms}-0")


def test_a_turn_with_a_tool_is_told_stretch_by_stretch() -> None:
    """Each from where the one before ends; the result's facts and the trace are there, too."""
    found = told_by(
        [
            event(1000, EventType.QUEUED, 0, position=0),
            event(1010, EventType.STARTED, model="m", traceparent=PLACE),
            event(1050, EventType.TOOL_CALL, call=1, name="look", arguments={}),
            event(1100, EventType.TOOL_CALL, call=1, name="look", result="x", is_error=False),
            event(1200, EventType.TOKEN),
            event(1300, EventType.TOKEN),
            event(1400, EventType.DONE, server="a:1", timings={"model_ms": 3.0}),
        ],
        KNOWN,
    )
    assert [(one.what, one.began_ms, one.ended_ms) for one in found.stretches] == [
        ("queued", 1000, 1010),
        ("model, until its first token", 1010, 1050),
        ("tool 'look'", 1050, 1100),
        ("model, after a tool", 1100, 1200),
        ("reply", 1200, 1400),
    ]
    assert (found.state, found.attempts, found.server) == ("done", 1, "a:1")
    assert (found.trace, found.timings) == (TRACE, {"model_ms": 3.0})


def test_a_failed_job_says_why() -> None:
    """One that expired or took too long leaves no dead letter: its last event has the reason."""
    failed = event(60, EventType.FAILED, error="the turn was stopped", code="timeout")
    found = told_by([event(0, EventType.QUEUED, 0, position=0), failed], KNOWN)
    assert (found.state, found.reason) == ("failed", "the turn was stopped")
    assert told_by([event(0, EventType.QUEUED, 0, position=0)], KNOWN).reason is None


def test_waits_and_a_lost_attempt_are_named() -> None:
    """One that its worker gave up ends with a wait; one whose worker died does not."""
    found = told_by(
        [
            event(0, EventType.QUEUED, 0, position=0),
            event(10, EventType.WAITING, reason="slot", ahead=1),
            event(20, EventType.STARTED, model="m"),
            event(30, EventType.WAITING, reason="retry"),
            event(40, EventType.STARTED, 2, model="m"),
            event(50, EventType.TOKEN, 2),
            event(90, EventType.STARTED, 3, model="m"),
        ],
        KNOWN,
    )
    assert [(one.attempt, one.what) for one in found.stretches] == [
        (0, "queued"),
        (1, "waits for a slot of its model"),
        (1, "model, until its first token"),
        (1, "waits to be tried again"),
        (2, "model, until its first token"),
        (2, "reply"),
        (2, "lost: its worker is gone"),
        (3, "model, until its first token"),
    ]
    assert found.stretches[-1].ended_ms is None
    assert (found.state, found.attempts) == ("open", 3)


def test_what_others_have_written_is_not_repeated() -> None:
    """The name of a tool is the model's, and may be anything."""
    hostile = "\x1b[2Jgone " + "x" * 100
    found = told_by([event(0, EventType.TOOL_CALL, call=1, name=hostile, arguments={})], KNOWN)
    assert [one.what for one in found.stretches] == [f"tool text of {len(hostile)} characters"]


def test_a_job_without_events_has_no_stretches() -> None:
    """It ended long ago."""
    assert told_by([], KNOWN) == KNOWN

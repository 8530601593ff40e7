"""What the end of a job says to the counts: how it has ended, and what its turn has used. Pure."""

from collections.abc import Mapping

from memory import End, EventType
from memory.quotas.pending import EndedJob
from memory.quotas.usage import Spent


def ended_by(end: End) -> EndedJob:
    """How a job counts from now on that has this end.

    What was used is in the last event of a turn, which COMMIT wrote with it.
    """
    if end.event.type is not EventType.DONE:
        return EndedJob(end.job_id, end.event.type.value)
    data = end.event.data
    usage, timings = _mapping(data.get("usage")), _mapping(data.get("timings"))
    spent = Spent(
        turns=1,
        tokens_in=_number(usage.get("prompt_tokens")),
        tokens_out=_number(usage.get("completion_tokens")),
        # A worker of an earlier version tells the time of the last call only.
        slot_ms=_number(timings.get("turn_ms", timings.get("model_ms"))),
        tool_calls=_number(usage.get("tool_calls")),
    )
    return EndedJob(end.job_id, end.event.type.value, str(data.get("model") or ""), spent)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> int:
    return round(value) if isinstance(value, int | float) else 0

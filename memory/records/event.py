"""One event: what happened to a job, as it lies in a stream and in an outbox. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import UnionType

import orjson
from pydantic import JsonValue

from memory.errors import CorruptData


class EventType(StrEnum):
    """What happened to a job.

    `queued` has in `data` the `position`: how many jobs are before it in its session. `waiting` has
    the `reason`. With "slot": `ahead`, how many sessions get a slot of its model before it, and
    `wait_s`, about how long that takes, where that is known. With "servers_away": `servers`, those
    of its model, and since when none of them could answer (`since`, Unix time in seconds).
    `failed` has `error`; `merged` has `into`, the job that answers its message too. After `erased`
    nothing is left of the session. `keep_alive` says that nothing happened, and is never stored
    (an entry that another program has written is read as one, with a warning); `stop` is for the
    workers only. `unknown` stands for each type that only a newer version knows; who follows is
    not shown it.
    """

    KEEP_ALIVE = "keep_alive"
    QUEUED = "queued"
    WAITING = "waiting"
    STARTED = "started"
    TOKEN = "token"  # noqa: S105  # no password
    THINKING = "thinking"
    TOOL_CALL = "tool_call"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MERGED = "merged"
    ERASED = "erased"
    STOP = "stop"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> "EventType | None":
        # During a rolling update older processes read what newer ones write.
        return cls.UNKNOWN if isinstance(value, str) else None


ENDINGS = frozenset(
    {
        EventType.DONE,
        EventType.FAILED,
        EventType.CANCELLED,
        EventType.MERGED,
        EventType.ERASED,
    }
)
"""The types of a job's last event."""

_PROMISED: Mapping[EventType, Mapping[str, type | UnionType]] = {
    EventType.QUEUED: {"position": int},
    EventType.WAITING: {
        "reason": str | None,
        "ahead": int | None,
        "wait_s": int | float | None,
        "servers": list | None,
        "since": int | float | None,
    },
    EventType.MERGED: {"into": str},
}
"""What readers rely on in the `data` of an event."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job's attempt; `text` is a piece of the reply, `data` what else is known.

    A `started` begins the text anew: an attempt that was given back starts again under its number,
    and who sees a higher `attempt` drops the text of the lower. A `tool_call` does, too: what was
    said before it is no part of the reply. `cursor` is "" before it is stored.
    """

    type: EventType
    job_id: str
    attempt: int
    text: str = field(default="", repr=False)
    data: Mapping[str, JsonValue] = field(default_factory=dict)
    cursor: str = ""


def packed(event: Event) -> bytes:
    """An event as it lies in the stream, in one field; the cursor is the entry's id."""
    # One field: Lua never looks into an event, and COMMIT appends it as it is.
    facts: dict[str, object] = {"type": event.type, "job": event.job_id, "attempt": event.attempt}
    if event.text:
        facts["text"] = event.text
    if event.data:
        facts["data"] = dict(event.data)
    return orjson.dumps(facts)


def parsed(stored: bytes, cursor: str = "") -> Event:
    """`packed` the other way round. Raises CorruptData for what is no event."""
    try:
        facts = orjson.loads(stored)
        event = Event(
            type=EventType(facts["type"]),
            job_id=facts["job"],
            attempt=facts["attempt"],
            text=facts.get("text", ""),
            data=facts.get("data", {}),
            cursor=cursor,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CorruptData("an event is none of ours") from None
    if not _is_ours(event):
        raise CorruptData("an event has facts of another type than ours")
    return event


def _is_ours(event: Event) -> bool:
    return (
        isinstance(event.job_id, str)
        and type(event.attempt) is int
        and isinstance(event.text, str)
        and isinstance(event.data, dict)
        and all(
            isinstance(event.data.get(name), kind)
            for name, kind in _PROMISED.get(event.type, {}).items()
        )
    )

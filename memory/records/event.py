"""One event: what happened to a job, as it lies in a stream and in an outbox. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import UnionType
from typing import Any

import orjson
from pydantic import JsonValue

from memory.encryption.keyring import Cipher, Keyring
from memory.errors import CorruptData, NewerFormat
from memory.ids import shown_id


class EventType(StrEnum):
    """What happened to a job.

    `scheduled` has in `data` until when the job waits before it takes its place (`not_before`, ISO
    8601, UTC); `queued` follows then. `queued` has the `position`: how many jobs are before it in
    its session. `waiting` has the `reason`. With "slot": `ahead`, how many sessions get a slot of
    its model before it, and `wait_s`, about how long that takes, where that is known. With
    "servers_away": `servers`, those of its model, and since when none of them could answer
    (`since`, Unix time in seconds). With "retry": the `error` of the attempt that failed, `wait_s`
    until the next, and `max_attempts`. `failed` has `error` and, since 2026-11-26, `code`
    (`tasks.job.failure_code`); `merged` has `into`, the job that answers its message too.
    `tool_progress` has what a tool says of its `call`: `fraction` from 0 to 1, None where it does
    not say, and `text`. After `erased` nothing is left of the session. `keep_alive` says that
    nothing happened, and is never stored (an entry that another program has written is read as one,
    with a warning); `stop` is for the workers only. `unknown` stands for each type that only a
    newer version knows, and for an event of a newer format; who follows is not shown it.
    """

    KEEP_ALIVE = "keep_alive"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    WAITING = "waiting"
    STARTED = "started"
    TOKEN = "token"  # noqa: S105  # no password
    THINKING = "thinking"
    TOOL_CALL = "tool_call"
    TOOL_PROGRESS = "tool_progress"
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

VERSION = 1
"""Of an event's format; the first is not written down. `type`, `job` and `attempt` are the same in
every version."""
_WORDS = ("text", "data")
"""What in an event may be somebody's words."""
_WORDLESS = frozenset({"position", "into", "not_before"})
"""What in the `data` of an event is nobody's words, and is written plain."""
_RECORD = "encrypted"
"""Where the words of an event are that is encrypted."""

_PROMISED: Mapping[EventType, Mapping[str, type | UnionType]] = {
    EventType.SCHEDULED: {"not_before": str},
    EventType.QUEUED: {"position": int},
    EventType.WAITING: {
        "reason": str | None,
        "ahead": int | None,
        "wait_s": int | float | None,
        "servers": list | None,
        "since": int | float | None,
        "max_attempts": int | None,
    },
    EventType.TOOL_PROGRESS: {"fraction": int | float | None, "text": str},
    EventType.MERGED: {"into": str},
}
"""What readers rely on in the `data` of an event."""


REASONS = ("error", "reason")
"""What in the `data` of an event says why its job ended."""
_CODE = "\x1f"
"""Between a reason and its code: the separator of units, which no reason has."""


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


def packed(event: Event, cipher: Cipher) -> bytes:
    """An event as it lies in the stream, in one field; the cursor is the entry's id.

    Encrypted are its words: text and data. What it is, and of which job, can be read.
    """
    # One field: COMMIT appends it as it is. DELIVERED reads the type, which comes first.
    facts: dict[str, object] = {"type": event.type, "job": event.job_id, "attempt": event.attempt}
    words: dict[str, object] = {}
    if event.text:
        words["text"] = event.text
    if event.data:
        words["data"] = dict(event.data)
    return _joined(facts, words, cipher)


def repacked(stored: bytes, cipher: Cipher) -> bytes:
    """An event as it would be stored now; the same bytes where it is so, or is no event.

    Raises CannotDecrypt.
    """
    try:
        facts = orjson.loads(stored)
        if _is_current(facts, cipher.keyring):
            return stored
        words = {name: one for name, one in _words(facts, cipher).items() if name in _WORDS}
        data = words.get("data", {})
        for name in _reasons(data):
            data[name] = cipher.decrypted_text(data[name], about_reason(facts["job"]))
        rest = {name: one for name, one in facts.items() if name not in (*_WORDS, _RECORD)}
        return _joined(rest, words, cipher)
    except (ValueError, KeyError, TypeError, AttributeError):
        return stored


def _is_current(facts: dict[str, Any], keyring: Keyring) -> bool:
    """Whether the words of an event are encrypted as they would be now, or are nobody's."""
    data: dict[str, Any] = facts.get("data", {})
    reasons = {name: keyring.is_current(data[name].encode()) for name in _reasons(data)}
    if (record := facts.get(_RECORD)) is not None:
        return keyring.is_current(record.encode())
    if keyring.first is None:
        return all(reasons.values())
    return not facts.get("text") and all(reasons.get(name, name in _WORDLESS) for name in data)


def parsed(stored: bytes, cipher: Cipher, cursor: str = "") -> Event:
    """`packed` the other way round. Raises CorruptData for what is no event, and CannotRead.

    What is newer is passed over; a job's last event is not: NewerFormat says that the job is over,
    and that a newer process knows how.
    """
    try:
        facts = orjson.loads(stored)
        if _is_newer(facts):
            return Event(EventType.UNKNOWN, facts["job"], facts["attempt"], cursor=cursor)
        words = _words(facts, cipher)
        event = Event(
            type=EventType(facts["type"]),
            job_id=facts["job"],
            attempt=facts["attempt"],
            text=words.get("text", ""),
            data=words.get("data", {}),
            cursor=cursor,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CorruptData("not an event of Griot's") from None
    if not _is_ours(event):
        raise CorruptData("an event has data of the wrong type")
    return _with_reason(event, cipher)


def _is_newer(facts: dict[str, Any]) -> bool:
    """Whether an event is of a newer format. Raises NewerFormat for a last one."""
    version = facts.get("v", VERSION)
    if not isinstance(version, int) or version <= VERSION:
        return False
    if EventType(facts["type"]) in ENDINGS:
        NewerFormat.check(f"the end of job {shown_id(facts['job'])}", version, VERSION)
    return True


def _joined(facts: dict[str, object], words: dict[str, object], cipher: Cipher) -> bytes:
    if words and cipher.keyring.first is not None:
        about = _about(str(facts["type"]), facts)
        words = {_RECORD: cipher.encrypted(orjson.dumps(words), about).decode()}
    return orjson.dumps({**facts, **words})


def _words(facts: dict[str, Any], cipher: Cipher) -> dict[str, Any]:
    if (record := facts.get(_RECORD)) is None:
        return facts
    words: dict[str, Any] = orjson.loads(
        cipher.decrypted(record.encode(), _about(facts["type"], facts))
    )
    return words


def _about(kind: str, facts: Mapping[str, object]) -> str:
    """What the words of an event are about: its type, attempt and job."""
    # The type that was written, which may be unknown here. No type and no number has the separator.
    return f"event\0{kind}\0{facts['attempt']}\0{facts['job']}"


def _with_reason(event: Event, cipher: Cipher) -> Event:
    """The same, where Lua has made it of a reason that was encrypted before."""
    found = _reasons(event.data)
    if not found:
        return event
    about = about_reason(event.job_id)
    plain = {name: cipher.decrypted_text(str(event.data[name]), about) for name in found}
    if event.type is EventType.FAILED and "error" in plain:
        plain["error"], code = without_code(plain["error"])
        plain |= {"code": code} if code else {}
    return replace(event, data={**event.data, **plain})


def _reasons(data: Mapping[str, object]) -> list[str]:
    return [name for name in REASONS if isinstance(data.get(name), str)]


def with_code(reason: str, code: str) -> str:
    """A reason as it is kept, with the code of its kind (or "") behind it: the operations of the
    mailbox take the two as one text, and older processes read the reason first."""
    return f"{reason}{_CODE}{code}" if code else reason


def without_code(kept: str) -> tuple[str, str]:
    """`with_code` the other way round: the reason, and its code, "" where it has none."""
    reason, _, code = kept.rpartition(_CODE)
    return (reason, code) if reason else (kept, "")


def about_reason(job_id: str) -> str:
    """What the encrypted reason of a job's end is about."""
    return "reason\0" + job_id


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

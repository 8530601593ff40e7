"""A session as lines of JSON: what each line is, and how a file of them is read. Pure.

The first line is the header with the version of the format, the last says how many lines there
are, so that a file that was cut is known. docs/operations.md has the kinds.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import orjson
from pydantic import JsonValue

from memory.errors import InvalidInput
from memory.lifetimes import UNTIL_ERASED_S
from memory.records.codec import encode_message, encode_value
from memory.records.limits import MAX_HISTORY_BYTES, MAX_TTL_S, whole_number
from memory.records.users import user_of

VERSION = 1
HEADER = "griot session"
EXPORT_ONLY = frozenset({"unreadable", "waiting_job", "dead_letter"})
"""Kinds of lines that a person may want to read, and an import leaves out."""

Line = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the session's data, as it is stored."""

    key: str
    encoded: bytes = field(repr=False)
    ttl_s: int
    is_own_ttl: bool


@dataclass(frozen=True, slots=True)
class MovedSchedule:
    """A schedule, as whoever makes schedules has packed it."""

    schedule_id: str
    packed: bytes = field(repr=False)


@dataclass(slots=True)
class Transfer:
    """A session as it was exported. `summary_until` counts the messages that its summary is of.

    `ttl_s` is None where nothing of the conversation had a TTL. `left_out` counts the lines of
    each kind that is only exported.
    """

    agent_id: str
    session_id: str
    ttl_s: int | None
    messages: list[bytes] = field(default_factory=list, repr=False)
    summary: str = field(default="", repr=False)
    summary_until: int = 0
    values: list[Value] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    schedules: list[MovedSchedule] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def as_lines(lines: Iterable[Line]) -> Iterator[bytes]:
    """The lines as they are written, with the last one that counts them."""
    count = 1
    for line in lines:
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        count += 1
    yield orjson.dumps({"kind": "end", "lines": count}, option=orjson.OPT_APPEND_NEWLINE)


def raw(stored: bytes) -> str:
    """Bytes that are no JSON, in a line."""
    return base64.b64encode(stored).decode()


def read(
    lines: Iterable[bytes],
    *,
    most_messages: int,
    max_bytes: int,
    most_bytes: int = MAX_HISTORY_BYTES,
) -> Transfer:
    """The session of a file's lines. Raises InvalidInput with the number of the first bad line.

    `most_messages` is HISTORY_MAX_MESSAGES, `most_bytes` HISTORY_MAX_BYTES, `max_bytes` bounds a
    message or value.
    """
    transfer: Transfer | None = None
    number, is_whole = 0, False
    for number, line in enumerate(lines, 1):
        with _refused_at(number):
            fields = _object(line)
            if is_whole:
                raise InvalidInput("it comes after the last line")
            if transfer is None:
                transfer = _header(fields)
            elif fields.get("kind") == "end":
                is_whole = True
                _check_end(fields, number)
            else:
                _take(transfer, fields, max_bytes)
    if transfer is None or not is_whole:
        with _refused_at(number + 1):
            raise InvalidInput("it is missing: the file is incomplete")
    _check_size(transfer, most_messages, most_bytes)
    return transfer


@contextmanager
def _refused_at(number: int) -> Iterator[None]:
    try:
        yield
    except InvalidInput as exc:
        raise InvalidInput(f"line {number}: {exc}; nothing was written") from None


def _check_end(fields: Line, number: int) -> None:
    if fields.get("lines") != number:
        raise InvalidInput(f"the file should have {fields.get('lines')} lines: some are missing")


def _object(line: bytes) -> dict[str, JsonValue]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise InvalidInput("it is not JSON") from None
    if not isinstance(fields, dict):
        raise InvalidInput("it is not a JSON object")
    return fields


def renamed(transfer: Transfer, agent_id: str | None, session_id: str | None) -> Transfer:
    """The same for another agent or session, where one is given; but for its schedules, whose words
    are not ours."""
    return replace(
        transfer,
        agent_id=agent_id or transfer.agent_id,
        session_id=session_id or transfer.session_id,
    )


def _header(fields: Line) -> Transfer:
    if fields.get("kind") != HEADER:
        raise InvalidInput("it is not a header: the file was not made by `griot export session`")
    version = fields.get("version")
    if version != VERSION:
        raise InvalidInput(
            f"the file has format version {version}, but this Griot reads version {VERSION}"
        )
    agent_id, session_id = _text(fields, "agent_id"), _text(fields, "session_id")
    ttl_s = None if fields.get("ttl_s") is None else _ttl(fields)
    if fields.get("until_erased") is True:
        ttl_s = UNTIL_ERASED_S
    return Transfer(agent_id, session_id, ttl_s)


def _take(transfer: Transfer, fields: Line, max_bytes: int) -> None:
    match fields.get("kind"):
        case "message":
            _take_message(transfer, fields.get("message"), max_bytes)
        case "summary":
            transfer.summary = _text(fields, "text")
            until = fields.get("messages")
            transfer.summary_until = until if type(until) is int else 0
        case "data":
            encoded = encode_value(fields.get("value"), max_bytes, what="the value")
            is_own = fields.get("own_ttl") is True
            value = Value(_text(fields, "key"), encoded, _ttl(fields), is_own)
            transfer.values.append(value)
        case "schedule":
            packed = encode_value(fields.get("schedule"), max_bytes, what="it")
            name = _text(fields, "schedule_id")
            transfer.schedules.append(MovedSchedule(name, packed))
        case "user":
            transfer.users.append(_text(fields, "user"))
        case str(kind) if kind in EXPORT_ONLY:
            transfer.left_out[kind] = transfer.left_out.get(kind, 0) + 1
        case _:
            raise InvalidInput("its kind is unknown to this version")


def _take_message(transfer: Transfer, message: object, max_bytes: int) -> None:
    if not isinstance(message, dict):
        raise InvalidInput("its message is not a JSON object")
    # An image that is no base64 has been left out of each prompt, and does not keep all from coming
    # back.
    encoded = encode_message(message, max_bytes, what="the message", is_restored=True)
    transfer.messages.append(encoded)
    merged = message.get("merged")
    jobs = merged if isinstance(merged, list) else []
    named = [
        message.get("metadata"),
        *(job.get("metadata") for job in jobs if isinstance(job, dict)),
    ]
    transfer.users += [user for user in map(user_of, named) if user is not None]


def _check_size(transfer: Transfer, most_messages: int, most_bytes: int) -> None:
    count, size_bytes = len(transfer.messages), sum(map(len, transfer.messages))
    if count > most_messages:
        raise InvalidInput(
            f"the file has {count} messages; the limit is {most_messages} (HISTORY_MAX_MESSAGES); "
            "nothing was written"
        )
    if size_bytes > most_bytes:
        raise InvalidInput(
            f"the messages have {size_bytes} bytes; the limit is {most_bytes} (HISTORY_MAX_BYTES); "
            "nothing was written"
        )
    if not 0 <= transfer.summary_until <= count:
        raise InvalidInput(
            f"the summary covers {transfer.summary_until} messages, but the file has {count}; "
            "nothing was written"
        )


def _text(fields: Line, name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or not text:
        raise InvalidInput(f"its {name} is not text")
    return text


def _ttl(fields: Line) -> int:
    return whole_number(fields.get("ttl_s"), what="its ttl_s", most=MAX_TTL_S)  # type: ignore[arg-type]  # it is checked there

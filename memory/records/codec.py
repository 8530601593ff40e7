"""Values as they lie in Redis: JSON that comes back exactly as it went in. Pure.

A value is refused rather than changed: what JSON cannot hold (NaN, dates, sets, keys that are no
strings, integers beyond 64 bits, lone surrogates) and what it would give back as something else
(a tuple as a list).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import orjson
from pydantic import JsonValue

from memory.errors import CorruptData, InvalidInput

ROLES = ("system", "user", "assistant", "tool")

# orjson would turn these into strings or objects; refused instead, for they come back as such.
_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


@dataclass(frozen=True, slots=True)
class Decoded:
    """The messages of a history, oldest first, and how many elements were none."""

    messages: list[dict[str, JsonValue]]
    corrupt: int


def encode_value(value: object, max_bytes: int, *, what: str) -> bytes:
    """`value` as JSON of at most `max_bytes`; `what` names it in the message of InvalidInput."""
    try:
        encoded = orjson.dumps(value, option=_STRICT)
        # Only the way back shows it: JSON turns a tuple into a list without an error.
        is_faithful = orjson.loads(encoded) == value
    except (orjson.JSONEncodeError, orjson.JSONDecodeError, RecursionError) as exc:
        raise InvalidInput(f"{what} cannot be kept as JSON: {exc}") from None
    if not is_faithful:
        raise InvalidInput(
            f"{what} would not come back unchanged from JSON; "
            "use only dict with string keys, list, str, int, finite float, bool and None"
        )
    if len(encoded) > max_bytes:
        raise InvalidInput(
            f"{what} has {len(encoded)} bytes as JSON, at most {max_bytes} are allowed "
            "(MEMORY_MAX_VALUE_BYTES)"
        )
    return encoded


def decode_value(raw: bytes, *, what: str) -> JsonValue:
    """The value that was encoded. Raises CorruptData when it is no JSON."""
    try:
        return cast("JsonValue", orjson.loads(raw))
    except orjson.JSONDecodeError:
        # Not `from exc`: a JSONDecodeError holds the whole document, which is somebody's.
        raise CorruptData(f"{what} is not JSON") from None


def encode_mapping(value: Mapping[str, object], max_bytes: int, *, what: str) -> bytes:
    """`encode_value` for an object of JSON; InvalidInput for anything else."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{what} must be a dict, not {type(value).__name__}")
    # orjson knows no other Mapping.
    return encode_value(dict(value), max_bytes, what=what)


def encode_message(
    message: Mapping[str, object], max_bytes: int, *, what: str = "message"
) -> bytes:
    """A message of a conversation as it lies in the history.

    It has a `role` (system, user, assistant or tool); a `content` is a string or None; anything
    else in it is kept too. Raises InvalidInput.
    """
    if not isinstance(message, Mapping):
        raise InvalidInput(f"{what} must be a dict, not {type(message).__name__}")
    if "role" not in message:
        raise InvalidInput(f"{what} has no role; it must be one of {', '.join(ROLES)}")
    role = message["role"]
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidInput(f"{what} has an unknown role; it must be one of {', '.join(ROLES)}")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise InvalidInput(f"content of {what} must be a string, not {type(content).__name__}")
    return encode_mapping(message, max_bytes, what=what)


def decode_messages(raw: Sequence[bytes]) -> Decoded:
    """The messages among the elements of a history; others are skipped and counted."""
    # Other programs may write the list too: docs/decisions.md, "The history is decoded for each
    # turn".
    messages = [message for element in raw if (message := _message(element)) is not None]
    return Decoded(messages=messages, corrupt=len(raw) - len(messages))


def _message(element: bytes) -> dict[str, JsonValue] | None:
    try:
        value = orjson.loads(element)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        return None
    return value

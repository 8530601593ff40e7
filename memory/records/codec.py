"""Values as they lie in Redis: JSON that comes back exactly as it went in. Pure.

A value is refused rather than changed: what JSON cannot hold (NaN, dates, sets, keys that are no
strings, integers beyond 64 bits, lone surrogates) and what it would give back as something else
(a tuple as a list).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import cast

import orjson
from pydantic import JsonValue

from memory.errors import CorruptData, InvalidInput
from memory.records.foreign import image_fault, put_right
from memory.records.message import DEEP_BYTES, fault_of, is_nested_too_deeply, is_plain

# orjson would turn these into strings or objects; refused instead, for they come back as such.
_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


@dataclass(frozen=True, slots=True)
class Decoded:
    """The messages of a history, oldest first, and how many elements were none.

    `places` has the place of each among all elements.
    """

    messages: list[dict[str, JsonValue]]
    corrupt: int
    places: tuple[int, ...] = ()


def encode_value(value: object, max_bytes: int, *, what: str) -> bytes:
    """`value` as JSON of at most `max_bytes`; `what` names it in the message of InvalidInput."""
    try:
        encoded = orjson.dumps(value, option=_STRICT)
        # Only the way back shows it: JSON turns a tuple into a list without an error.
        is_faithful = orjson.loads(encoded) == value
    except (orjson.JSONEncodeError, orjson.JSONDecodeError, RecursionError) as exc:
        raise InvalidInput(f"{what} cannot be stored as JSON: {exc}") from None
    if not is_faithful:
        raise InvalidInput(
            f"{what} would be changed by JSON; use only dict with string keys, list, str, "
            "int, finite float, bool and None"
        )
    if len(encoded) > max_bytes:
        raise InvalidInput(
            f"{what} has {len(encoded)} bytes as JSON; the limit is {max_bytes} "
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
    message: Mapping[str, object],
    max_bytes: int,
    *,
    what: str = "message",
    is_restored: bool = False,
) -> bytes:
    """A message of a conversation as it lies in the history: in Ollama's form.

    Other forms that are known are put right (`memory.records.foreign.put_right`). What it must be
    then is in `memory.records.message.fault_of`, and its images are base64, unless it `is_restored`
    from a history that was read. Raises InvalidInput.
    """
    if not isinstance(message, Mapping):
        raise InvalidInput(f"{what} must be a dict, not {type(message).__name__}")
    right = message if is_plain(message) else put_right(message)
    if fault := fault_of(right) or (None if is_restored else _fault_of_images(right)):
        raise InvalidInput(f"{what} {fault}")
    encoded = encode_mapping(right, max_bytes, what=what)
    if is_nested_too_deeply(encoded, right):
        raise InvalidInput(f"{what} is nested too deeply to be sent to a model")
    return encoded


def decode_messages(raw: Sequence[bytes]) -> Decoded:
    """The messages among the elements of a history, in Ollama's form; others are skipped and
    counted."""
    # Other programs may write the list too: docs/decisions.md, "The history is decoded for each
    # turn".
    decoded = [_message(element) for element in raw]
    messages = [message for message in decoded if message is not None]
    places = tuple(compress(range(len(raw)), decoded))
    return Decoded(messages, len(raw) - len(messages), places)


def _message(element: bytes) -> dict[str, JsonValue] | None:
    try:
        value = orjson.loads(element)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    if not is_plain(value):
        value = put_right(value, leaves_out=True)
        if fault_of(value):
            return None
    return None if len(element) >= DEEP_BYTES and is_nested_too_deeply(element, value) else value


def _fault_of_images(message: Mapping[str, object]) -> str | None:
    images = message.get("images")
    for number, image in enumerate(images if isinstance(images, list) else ()):
        if fault := image_fault(image):
            return f"has an image {number} that {fault}"
    return None

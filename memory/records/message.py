"""What a message of a conversation is: the fields that a model reads, and their types. Pure.

Any program may write into a history. A record with wrong types would go to the model, which refuses
it, and with it every later job of its session. So such a record is refused where it is written and
set aside where it is read.
"""

from collections.abc import Mapping, Sequence
from typing import TypeGuard

import orjson

ROLES = ("system", "user", "assistant", "tool")
_TEXTS = ("content", "thinking", "tool_name", "tool_call_id")
_REST = frozenset(
    {"thinking", "tool_name", "tool_call_id", "images", "tool_calls", "function_call"}
)

# orjson 3.11 reads 1024 levels and writes 254; a message lies two levels deep in a request.
_SAFE_LEVELS, _LEVELS_AROUND = 250, 2
DEEP_BYTES = 2 * _SAFE_LEVELS
"""A level has two brackets: a shorter message is not nested too deeply."""


def fault_of(message: Mapping[str, object]) -> str | None:
    """What is wrong with a message, without a word of it; None where it is one.

    It has a `role`. `content`, `thinking`, `tool_name` and `tool_call_id` are strings, `images` is
    a list of strings, `tool_calls` a list of calls as Ollama has them; each may be absent or None.
    Anything else in it may be any JSON. `memory.records.foreign.put_right` brings it nearer.
    """
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        is_missing = role is None and "role" not in message
        fault = "has no role" if is_missing else "has an unknown role"
        return f"{fault}; it must be one of {', '.join(ROLES)}"
    return None if is_plain(message) else _fault_of_fields(message)


def is_plain(message: Mapping[str, object]) -> bool:
    """Whether a message is nothing but a role and a text: by far the most frequent form."""
    has_text = isinstance(message.get("content"), str) and _REST.isdisjoint(message)
    # The result of a tool has its name besides, which other servers call otherwise.
    return has_text and message.get("role") in ("user", "assistant", "system")


def _fault_of_fields(message: Mapping[str, object]) -> str | None:
    for name in _TEXTS:
        if not isinstance(text := message.get(name), str | None):
            return f"has a {name} of type {type(text).__name__}, not a string"
    images, calls = message.get("images"), message.get("tool_calls")
    if images is not None and not (_is_list(images) and all(isinstance(i, str) for i in images)):
        return "has images that are not a list of strings"
    if calls is not None and not (_is_list(calls) and all(map(_is_call, calls))):
        return "has tool_calls that are not a list of calls with a function"
    return None


def is_nested_too_deeply(encoded: bytes, message: object) -> bool:
    """Whether a message as it is stored can be read, but not be sent on."""
    # Most messages are too short, or have too few brackets, for so many levels.
    if len(encoded) < DEEP_BYTES or encoded.count(b"[") + encoded.count(b"{") < _SAFE_LEVELS:
        return False
    for _ in range(_LEVELS_AROUND):
        message = [message]
    try:
        orjson.dumps(message)
    except orjson.JSONEncodeError:
        return True
    return False


def _is_call(call: object) -> bool:
    if not isinstance(call, Mapping) or not isinstance(call.get("id"), str | None):
        return False
    function = call.get("function")
    return (
        isinstance(function, Mapping)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), Mapping | None)
    )


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    # A tuple, too: `encode_value` says better what is wrong with it.
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)

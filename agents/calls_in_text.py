"""Calls of tools that a model has written as text: nothing knows how its form is read. Pure."""

import re
from collections.abc import Container

import orjson

from llm import ToolCall
from llm.wire.records import MAX_CALLS, read_arguments

_TAGS = re.compile(
    r"</?(?:tool_call|tool_calls|function_call|tools)>|```(?:json)?|<\|python_tag\|>"
)
MAX_CHARS = 262_144
"""A longer text is a reply."""
_ARGUMENTS = ("arguments", "parameters")


def calls_in(text: str, known: Container[str]) -> tuple[ToolCall, ...]:
    """The calls of `known` tools that are all of a text; none where it says anything else.

    Each is a JSON object with a `name` and `arguments` (or `parameters`), as many templates teach
    it, alone or in a list, in a tag or a Markdown fence, or one behind the other.
    """
    if len(text) > MAX_CHARS:
        return ()
    written = _objects(_TAGS.sub("\n", text))
    calls = [_call(one, known) for one in written or ()]
    return tuple(call for call in calls if call is not None) if calls and all(calls) else ()


def _objects(text: str) -> list[object] | None:
    """The JSON of a text: all of it, or one object in each line; None where there is other text."""
    lines = [line for line in text.splitlines() if line.strip()]
    for parts in ([text], lines[: MAX_CALLS + 1]):
        try:
            read = [orjson.loads(part) for part in parts]
        except orjson.JSONDecodeError:
            continue
        found = read[0] if len(read) == 1 and isinstance(read[0], list) else read
        return found if len(found) <= MAX_CALLS else None
    return None


def _call(written: object, known: Container[str]) -> ToolCall | None:
    if not isinstance(written, dict):
        return None
    function = written.get("function")
    call = function if isinstance(function, dict) else written
    name = call.get("name")
    if not isinstance(name, str) or name not in known:
        return None
    given = next((call[key] for key in _ARGUMENTS if key in call), None)
    arguments = read_arguments(given)
    return ToolCall(name, arguments or {}, is_readable=arguments is not None)

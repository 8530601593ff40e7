"""Where the JSON is in what a model has said. Pure.

A grammar holds a reply to its form. Where a server has none, or leaves it out for a model that
thinks, the JSON comes in a Markdown fence, behind a block of thoughts, with a byte-order mark, or
with words around it.
"""

import re
from collections.abc import Iterator

import orjson
from pydantic import JsonValue

from tasks.job.weights.nesting import is_json_nested_deeper

MAX_LEVELS = 128
"""Objects and lists within each other in a reply in a form: its result is JSON, too, and orjson
writes no more than 254."""

_BOM = "\ufeff"
_THOUGHTS = re.compile(r"\s*<(think|thinking)>.*?</\1>", re.DOTALL)
_END_OF_THOUGHTS = ("</think>", "</thinking>")
_FENCE = "```"
_MAX_FENCES = 8
_BRACKETS = (("{", "}"), ("[", "]"))


def candidates(text: str) -> Iterator[str]:
    """What may be the JSON of a reply, the likeliest first: at most a dozen texts."""
    plain = text.removeprefix(_BOM).strip()
    yield plain
    plain = _without_thoughts(plain)
    yield plain
    # What stands between two fences; the first line behind a fence names the language.
    for part in plain.split(_FENCE)[1 : 2 * _MAX_FENCES : 2]:
        first, end, rest = part.partition("\n")
        yield (rest if end and not first.strip().startswith(("{", "[")) else part).strip()
    for begin, end in sorted(_BRACKETS, key=lambda both: plain.find(both[0]) % (len(plain) + 1)):
        first_at, last_at = plain.find(begin), plain.rfind(end)
        if 0 <= first_at < last_at:
            yield plain[first_at : last_at + 1]


def is_too_deep(text: str) -> bool:
    """Whether JSON is nested so deeply, or has so many parts, that no result is to hold it."""
    return is_json_nested_deeper(text.encode(errors="replace"), MAX_LEVELS)


def value_of(text: str) -> JsonValue:
    """What a reply in a form stands for, as its result has it; None where somebody has changed it
    since."""
    try:
        value: JsonValue = None if is_too_deep(text) else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value


def _without_thoughts(text: str) -> str:
    """The text behind a block of thoughts; its begin may have been in the prompt."""
    if (block := _THOUGHTS.match(text)) is not None:
        return text[block.end() :].strip()
    for mark in _END_OF_THOUGHTS:
        if mark in text:
            return text.rpartition(mark)[2].strip()
    return text

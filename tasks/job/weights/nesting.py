"""How deep JSON is nested, before anything that recurses may see it. Pure.

What a stranger sends is read by parsers with limits of their own, which they tell in their own way
(a bare RecursionError, the end of the process). Here it is one number for all of them.
"""

from collections.abc import Mapping
from itertools import accumulate

MAX_LEVELS = 64
"""Objects and lists within each other, in one argument or option of a job: far below what any JSON
parser on the way takes."""

MAX_PARTS = 100_000
"""Objects and lists in one message, and texts twice as many: each costs a parser some hundred
bytes and its time."""

_REST = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = [0] * 256
for _bracket, _step in zip(b"[{]}", (1, 1, -1, -1), strict=True):
    _STEPS[_bracket] = _step


def shape_fault(value: object, levels: int) -> str | None:
    """What is wrong with a value, to stand behind its name: lists and objects lie deeper within
    each other than so many levels, or it has far too many parts. None: nothing is.

    Of one that contains itself, too.
    """
    if value is None or isinstance(value, str | int | float):
        return None  # nearly all that a job has
    level = [value]
    for _ in range(levels + 1):
        inner = [item for item in level if isinstance(item, Mapping | list | tuple)]
        if not inner:
            return None
        level = [part for item in inner for part in _parts(item)]
        if len(level) > MAX_PARTS:
            return f"has more than {MAX_PARTS} parts"
    return f"is nested deeper than {levels} levels"


def is_json_nested_deeper(packed: bytes, levels: int) -> bool:
    """The same of JSON that nobody has parsed yet, valid or not."""
    if packed.count(b"[") + packed.count(b"{") <= levels:
        return False
    outside = _outside_texts(packed)
    brackets = outside.translate(None, _REST)
    if outside.count(b'"') > 2 * MAX_PARTS or len(brackets) > 2 * MAX_PARTS:
        return True
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > levels


def _parts(item: object) -> list[object]:
    if isinstance(item, Mapping):
        return list(item.values())
    return list(item) if isinstance(item, list | tuple) else []


def _outside_texts(packed: bytes) -> bytes:
    """What is left of JSON without its texts: one quote stands for each of them."""
    # In this order: of `\\\\"` the quote ends a text, of `\\"` it is a part of it.
    plain = packed.replace(rb"\\", b"").replace(rb"\"", b"")
    parts = plain.split(b'"', 4 * MAX_PARTS + 2)
    return b'"'.join(parts[::2])

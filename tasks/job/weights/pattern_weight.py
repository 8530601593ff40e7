"""How large the automaton of a pattern is. Pure.

A pattern is matched in linear time, but linear in its automaton too, and a counted repetition
multiplies that: `((a{1,50}){1,50}){1,10}` has 40 bytes and 25 000 states, which took 7 s on a text
of 19 kB and 4.6 ms to make (jsonschema-rs 0.60).
"""

import re
from collections.abc import Mapping

MOST = 10**9
"""No weight is above it."""

# Measured with jsonschema-rs 0.60, in states of 0.2 µs: what each repetition of something costs to
# make, and what reading it costs once.
_UNICODE_PROPERTY = 2000
_NEARLY_ANY = 30
_READ: Mapping[str, int] = {"p": 600, "P": 600, "c": 120, "d": 90, "S": 80, "s": 50}
_READ_OTHER = 30
_FOLDED = 8
# Each of its rows takes all that it has read over: a bracket that is never closed goes to the end.
_TOKEN = re.compile(
    r"\\[pP](?:\{[^}]*(?:\}|$)|.)"
    r"|\\."
    r"|\[\^?\]?(?:\\.|[^\]\\])*(?:\]|\\?$)"
    r"|\{(?P<least>\d{1,9})(?:,(?P<most>\d{0,9}))?\}"
    r"|(?P<begin>\((?:\?[a-zA-Z-]*:|\?P?<\w+>)?)"
    r"|(?P<end>\))"
    r"|(?P<repeat>[*+?|^$])"
    r"|.",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\([a-zA-Z])")
_IGNORES_CASE = re.compile(r"\(\?[a-zA-Z]*i")


def pattern_weight(pattern: str) -> int:
    """About how many states its automaton has; each repetition counts as often as it may occur."""
    sums, last, read = [0], 0, 0
    for found in _TOKEN.finditer(pattern):
        if found["least"] is not None:
            times = max(int(found["least"]), int(found["most"] or 0), 1)
            sums[-1] += last * (times - 1)
            last *= times
        elif found["begin"]:
            sums.append(1)
        elif found["end"]:
            last = sums.pop() if len(sums) > 1 else 1
            sums[-1] += last
        elif not found["repeat"]:
            last = _of_one(found.group())
            sums[-1] += last
            read += sum(_READ.get(name, _READ_OTHER) for name in _ESCAPE.findall(found.group()))
        last, sums[-1] = min(last, MOST), min(sums[-1], MOST)
    return min((read + sum(sums)) * (_FOLDED if _IGNORES_CASE.search(pattern) else 1), MOST)


def _of_one(atom: str) -> int:
    """The states of one character, class or escape."""
    properties = atom.count(r"\p") + atom.count(r"\P")
    if properties:
        return properties * _UNICODE_PROPERTY
    is_any = atom == "." or atom.startswith("[^") or re.search(r"\\[a-zA-Z]", atom)
    is_narrow = atom in (r"\d", r"\w") or (not is_any and atom.isascii())
    return 1 + len(atom) // 4 if is_narrow else _NEARLY_ANY + len(atom)

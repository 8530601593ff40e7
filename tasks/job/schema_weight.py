"""How much work a JSON Schema can cause. Pure.

References may multiply: thirty definitions that each name the next one twice make a short schema
whose check takes for ever, and a reference back to where it stands makes the work grow with the
depth of what is checked. So references are followed here, once each, and what they expand to is
bounded. So is what counted repetitions in patterns expand to (pattern_weight.py).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from pydantic import JsonValue

from tasks.errors import InvalidJob
from tasks.job.pattern_weight import pattern_weight

MAX_PARTS = 10_000
"""Objects and lists in the schema, with every reference written out."""
MAX_PATTERN_STATES = 100_000
"""Of all patterns, with every reference and every repetition written out: 20 ms to make them."""
MAX_DEPTH = 128
"""Parts within each other, with every reference written out."""

_OTHER_WAYS = frozenset(
    {"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}
)
"""Keywords by which a reference could lead elsewhere than its text says."""
_LOOK_AGAIN = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_TIMES = 3
"""These check all that stands beside them once more, and so do those within: a level of them takes
2.8 times as long (jsonschema-rs 0.60)."""


class Weight(NamedTuple):
    """What a schema is made of, with every reference and repetition written out: `parts` (objects
    and lists), `values` (what else stands in it) and the `states` of its patterns."""

    parts: int = 0
    values: int = 0
    states: int = 0

    @property
    def total(self) -> int:
        """How much is done at most for each byte of a reply."""
        return sum(self)

    def plus(self, others: "Iterable[Weight]") -> "Weight":
        """The sum of this one and others."""
        return Weight(*map(sum, zip(self, *others, strict=True)))

    def times(self, factor: int) -> "Weight":
        """So many of it."""
        return Weight(*(one * factor for one in self))


def weight_of(schema: Mapping[str, JsonValue]) -> Weight:
    """The weight of a schema. Raises InvalidJob for one that is recursive, or too heavy."""
    if "draft-04" in str(schema.get("$schema")):
        raise InvalidJob("format must be of draft 6 or newer: in draft 4 `id` moves references")
    weight = _Weight(dict(schema)).of_root()
    if weight.parts > MAX_PARTS:
        raise InvalidJob(
            f"format has over {MAX_PARTS} parts with its references written out (each "
            f"{' or '.join(sorted(_LOOK_AGAIN))} counts what is beside it {_TIMES} times)"
        )
    if weight.states > MAX_PATTERN_STATES:
        raise InvalidJob(
            f"format has patterns of over {MAX_PATTERN_STATES} states: let fewer things be "
            "repeated a counted number of times"
        )
    return weight


class _Weight:
    """Weighs one schema; each reference is weighed once."""

    def __init__(self, root: dict[str, JsonValue]) -> None:
        self._root = root
        self._known: dict[str, Weight] = {}

    def of_root(self) -> Weight:
        """The weight of the whole."""
        return self._of(self._root, 0)

    def _of(self, value: JsonValue, depth: int) -> Weight:
        if depth > MAX_DEPTH:
            raise InvalidJob(
                f"format is recursive, or deeper than {MAX_DEPTH} levels with its references"
            )
        if isinstance(value, list):
            return self._of_all(value, depth)
        if not isinstance(value, dict):
            return Weight(values=1)
        if other := _OTHER_WAYS & value.keys():
            raise InvalidJob(f"format must not use {min(other)}: references are #/$defs/NAME")
        own = self._of_all(value.values(), depth).plus(map(_of_pattern, _patterns_in(value)))
        if isinstance(reference := value.get("$ref"), str):
            own = own.plus([self._at(reference, depth)])
        return own.times(_TIMES) if _LOOK_AGAIN & value.keys() else own

    def _of_all(self, inner: Iterable[JsonValue], depth: int) -> Weight:
        """The weight of a list or an object with this in it."""
        parts = [one for one in inner if isinstance(one, dict | list)]
        values = sum(not isinstance(one, dict | list) for one in inner)
        return Weight(1, values).plus(self._of(part, depth + 1) for part in parts)

    def _at(self, reference: str, depth: int) -> Weight:
        if reference not in self._known:
            self._known[reference] = self._of(self._target(reference), depth + 1)
        return self._known[reference]

    def _target(self, reference: str) -> JsonValue:
        """What a JSON Pointer (RFC 6901) leads to."""
        begin, *names = unquote(reference).split("/")
        target: JsonValue = self._root
        try:
            if begin != "#":
                raise KeyError(begin)
            for part in names:
                name = part.replace("~1", "/").replace("~0", "~")
                target = target[int(name)] if isinstance(target, list) else target[name]  # type: ignore[index]  # TypeError is caught
        except (LookupError, TypeError, ValueError):
            raise InvalidJob("format has a reference that leads nowhere in it") from None
        return target


def _patterns_in(schema: Mapping[str, JsonValue]) -> Iterable[str]:
    """The patterns of one schema, those of its parts aside."""
    if isinstance(pattern := schema.get("pattern"), str):
        yield pattern
    if isinstance(by_pattern := schema.get("patternProperties"), dict):
        yield from by_pattern


def _of_pattern(pattern: str) -> Weight:
    return Weight(states=pattern_weight(pattern))

"""How much work a JSON Schema can cause. Pure.

References may multiply: thirty definitions that each name the next one twice make a short schema
whose check takes for ever, and a reference back to where it stands makes the work grow with the
depth of what is checked. So references are followed here, once each, and what they expand to is
bounded. So is what counted repetitions in patterns expand to (pattern_weight.py).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from pydantic import JsonValue

from tasks.errors import InvalidJob
from tasks.job.weights.pattern_weight import pattern_weight

MAX_PARTS = 10_000
"""Objects and lists in the schema, with every reference written out."""
MAX_PATTERN_STATES = 100_000
"""Of all patterns, with every reference and every repetition written out: 20 ms to make them."""
MAX_PATTERN_CHARS = 4096
"""jsonschema-rs takes time with the square of it: 180 ms for 24 000."""
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
            f"format has patterns of over {MAX_PATTERN_STATES} states: use fewer counted "
            "repetitions"
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

    def _of(self, value: dict[str, JsonValue] | list[JsonValue], depth: int) -> Weight:
        if depth > MAX_DEPTH:
            raise InvalidJob(
                f"format is recursive, or deeper than {MAX_DEPTH} levels with its references"
            )
        # One pass: 9000 objects are within 32 KB, and a worker weighs them on its event loop.
        parts, values, states = 1, 0, 0
        others = self._beside(value, depth) if isinstance(value, dict) else []
        for one in value.values() if isinstance(value, dict) else value:
            if isinstance(one, dict | list):
                others.append(self._of(one, depth + 1))
            else:
                values += 1
        if isinstance(value, dict):
            states = sum(map(pattern_weight, _patterns_in(value)))
        for other in others:
            parts, values, states = parts + other[0], values + other[1], states + other[2]
        weight = Weight(parts, values, states)
        return weight.times(_TIMES) if isinstance(value, dict) and _looks_again(value) else weight

    def _beside(self, schema: Mapping[str, JsonValue], depth: int) -> list[Weight]:
        """What a schema refers to. Raises InvalidJob for the other ways to refer to something."""
        if other := _OTHER_WAYS & schema.keys():
            raise InvalidJob(f"format must not use {min(other)}: references are #/$defs/NAME")
        reference = schema.get("$ref")
        return [self._at(reference, depth)] if isinstance(reference, str) else []

    def _at(self, reference: str, depth: int) -> Weight:
        if reference not in self._known:
            target = self._target(reference)
            is_part = isinstance(target, dict | list)
            self._known[reference] = self._of(target, depth + 1) if is_part else Weight(values=1)  # type: ignore[arg-type]  # `is_part` is the check
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
            raise InvalidJob("format has a reference whose target is not in it") from None
        return target


def _patterns_in(schema: Mapping[str, JsonValue]) -> Iterator[str]:
    """The patterns of one schema, those of its parts aside. Raises InvalidJob for a long one."""
    pattern, by_pattern = schema.get("pattern"), schema.get("patternProperties")
    own = [pattern] if isinstance(pattern, str) else []
    for one in (*own, *(by_pattern if isinstance(by_pattern, dict) else ())):
        if len(one) > MAX_PATTERN_CHARS:
            raise InvalidJob(f"format has a pattern of over {MAX_PATTERN_CHARS} characters")
        yield one


def _looks_again(schema: Mapping[str, JsonValue]) -> bool:
    return not _LOOK_AGAIN.isdisjoint(schema)

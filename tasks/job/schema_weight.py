"""How much work a JSON Schema can cause. Pure.

References may multiply: thirty definitions that each name the next one twice make a short schema
whose check takes for ever, and a reference back to where it stands makes the work grow with the
depth of what is checked. So references are followed here, once each, and what they expand to is
bounded.
"""

from collections.abc import Mapping
from urllib.parse import unquote

from pydantic import JsonValue

from tasks.errors import InvalidJob

MAX_WEIGHT = 10_000
"""Objects and lists in the schema, with every reference written out."""
MAX_DEPTH = 128
"""The same, within each other."""

_OTHER_WAYS = frozenset(
    {"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}
)
"""Keywords by which a reference could lead elsewhere than its text says."""


def check_weight(schema: Mapping[str, JsonValue]) -> None:
    """Raise InvalidJob for a schema that is recursive, or too large with its references."""
    if "draft-04" in str(schema.get("$schema")):
        raise InvalidJob("format must be of draft 6 or newer: in draft 4 `id` moves references")
    if _Weight(dict(schema)).of_root() > MAX_WEIGHT:
        raise InvalidJob(f"format has over {MAX_WEIGHT} parts with its references written out")


class _Weight:
    """Weighs one schema; each reference is weighed once."""

    def __init__(self, root: dict[str, JsonValue]) -> None:
        self._root = root
        self._known: dict[str, int] = {}

    def of_root(self) -> int:
        """The weight of the whole."""
        return self._of(self._root, 0)

    def _of(self, value: JsonValue, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise InvalidJob(
                f"format is recursive, or deeper than {MAX_DEPTH} levels with its references"
            )
        if isinstance(value, list):
            return 1 + sum(self._of(part, depth + 1) for part in value)
        if not isinstance(value, dict):
            return 0
        if other := _OTHER_WAYS & value.keys():
            raise InvalidJob(f"format must not use {min(other)}: references are #/$defs/NAME")
        weight = 1 + sum(self._of(part, depth + 1) for part in value.values())
        reference = value.get("$ref")
        return weight if not isinstance(reference, str) else weight + self._at(reference, depth)

    def _at(self, reference: str, depth: int) -> int:
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

"""A JSON Schema as Ollama can turn it into a grammar. Pure.

llama.cpp's converter (json-schema-to-grammar.cpp, b10488) knows a part of JSON Schema and refuses
some of the rest, as HTTP 400 or 500 after the load. What it cannot take is written another way here
or left out: the grammar then allows more than the schema, so whoever asks with a format checks the
reply against the schema itself (docs/decisions.md, "A format that no grammar can hold").
"""

from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import unquote

from llm.wire.grammar_pattern import grammar_pattern

Schema: TypeAlias = dict[str, object]

MAX_REPEATS = 1000
"""llama.cpp's grammars take no more repetitions than some two thousand."""
_MAX_INT = 2**62

_AS_THEY_ARE = ("title", "description", "type", "required")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LISTS = ("oneOf", "anyOf", "allOf", "prefixItems")


_KINDS = ("object", "array", "string", "number", "boolean", "null")


def grammar_format(wanted: str | Mapping[str, object]) -> str | Schema:
    """What is sent for a `format`: a schema for "json" too; another text is Ollama's to refuse.

    llama-server holds a model neither to "json" nor to a schema without members (docs/ollama.md,
    Formats), so both are said as a schema with some: any object, and any value.
    """
    if isinstance(wanted, str):
        return {"type": "object"} if wanted == "json" else wanted
    return grammar_schema(wanted) or {"anyOf": [{"type": kind} for kind in _KINDS]}


def grammar_schema(schema: Mapping[str, object]) -> Schema:
    """The schema without what llama.cpp's converter refuses.

    Every reference leads to a definition `d0`, `d1` … of its own; recursive ones are kept.
    """
    return _Converter(schema).root()


class _Converter:
    """Converts one schema; each target of a reference once."""

    def __init__(self, root: Mapping[str, object]) -> None:
        self._root = root
        self._names: dict[str, str] = {}
        self._definitions: Schema = {}

    def root(self) -> Schema:
        """The whole, with its definitions."""
        whole = self._of(self._root) or {}
        # The converter does not look for references beside one at the root.
        for _ in range(len(self._names)):
            if not isinstance(reference := whole.get("$ref"), str):
                break
            whole = self._definitions[reference.removeprefix("#/$defs/")]  # type: ignore[assignment]  # each is a Schema
        if self._definitions:
            whole = {**whole, "$defs": self._definitions}
        return {} if "$ref" in whole else whole

    def _of(self, schema: object) -> Schema | None:
        """One schema; None for what nothing fits."""
        if not isinstance(schema, Mapping):
            return None if schema is False else {}
        if isinstance(reference := schema.get("$ref"), str):
            return {"$ref": f"#/$defs/{self._name(reference)}"}
        plain = {name: schema[name] for name in _AS_THEY_ARE if name in schema}
        plain |= self._parts(schema) | self._items(schema) | _words(schema) | _numbers(schema)
        return plain | _values(schema)

    def _name(self, reference: str) -> str:
        if reference not in self._names:
            name = self._names[reference] = f"d{len(self._names)}"
            self._definitions[name] = {}
            self._definitions[name] = self._of(_target(self._root, reference)) or {}
        return self._names[reference]

    def _parts(self, schema: Mapping[str, object]) -> Schema:
        plain: Schema = {}
        # It would take `items` for the first ones too: any list is allowed then.
        has_both = isinstance(schema.get("items"), Mapping) and "prefixItems" in schema
        for name in _LISTS[:3] if has_both else _LISTS:
            if isinstance(parts := schema.get(name), list):
                known = [part for part in map(self._of, parts) if part is not None]
                plain |= {name: known} if known else {}
        more = schema.get("additionalProperties")
        if more is not None:
            plain["additionalProperties"] = more if isinstance(more, bool) else self._of(more)
        if isinstance(properties := schema.get("properties"), Mapping):
            # A name that the converter takes for a reference: any object is allowed then.
            if "$ref" in properties:
                return {"type": "object"}
            known_by_name = {name: self._of(part) for name, part in properties.items()}
            plain["properties"] = {n: part for n, part in known_by_name.items() if part is not None}
        return plain

    def _items(self, schema: Mapping[str, object]) -> Schema:
        items = schema.get("items")
        if isinstance(items, list):
            return {"items": [self._of(part) or {} for part in items]}
        if not isinstance(items, Mapping) or "prefixItems" in schema:
            return {}
        return {"items": self._of(items)}


def _words(schema: Mapping[str, object]) -> Schema:
    """What a text must be."""
    plain: Schema = {}
    if isinstance(kind := schema.get("format"), str):
        plain["format"] = kind
    if isinstance(pattern := schema.get("pattern"), str):
        converted = grammar_pattern(pattern)
        plain |= {"pattern": converted} if converted is not None else {}
    return plain


def _numbers(schema: Mapping[str, object]) -> Schema:
    """Bounds that the converter can count to."""
    plain: Schema = {}
    for names, most in ((_COUNTS, MAX_REPEATS), (_BOUNDS, _MAX_INT)):
        for name in names:
            bound = schema.get(name)
            is_number = isinstance(bound, int | float) and not isinstance(bound, bool)
            if is_number and abs(bound) <= most:  # type: ignore[arg-type]  # `is_number` is the check
                plain[name] = int(bound) if names is _COUNTS else bound  # type: ignore[call-overload]  # the same
    return plain


def _values(schema: Mapping[str, object]) -> Schema:
    """The values that are named, unless one of them reads like a reference."""
    plain: Schema = {}
    if "const" in schema and not _has_reference(schema["const"]):
        plain["const"] = schema["const"]
    values = schema.get("enum")
    if isinstance(values, list) and values and not _has_reference(values):
        plain["enum"] = values
    return plain


def _has_reference(value: object) -> bool:
    if isinstance(value, Mapping):
        return "$ref" in value or any(map(_has_reference, value.values()))
    return isinstance(value, list) and any(map(_has_reference, value))


def _target(root: object, reference: str) -> object:
    """What a JSON Pointer (RFC 6901) leads to; True, which all fits, where it leads nowhere."""
    begin, *names = unquote(reference).split("/")
    if begin != "#":
        return True
    target = root
    for part in names:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isdigit() and int(name) < len(target):
            target = target[int(name)]
        else:
            return True
    return target

"""What Ollama drops of a tool's schema, said in what it keeps. Pure.

Of a parameter Ollama hands on type, items, description, enum, anyOf, properties and required
(api/types.go, ToolProperty). A bound, a default or a single value that the model never reads is
broken by it, and costs a round of calls.
"""

from collections.abc import Mapping
from typing import TypeAlias

import orjson
from pydantic import JsonValue

Schema: TypeAlias = dict[str, JsonValue]

_WORDS: Mapping[str, str] = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matching the regular expression {}",
    "format": "in the format {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "default": "default {}",
}
_INNER_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


def in_words(schema: Schema) -> Schema:
    """A schema without references whose meaning stays where Ollama drops its keywords.

    `const` becomes `enum`, `oneOf` becomes `anyOf`; bounds, formats, defaults and the like stand in
    the description too.
    """
    said = {name: part for name, part in schema.items() if name != "discriminator"}
    said |= _inner(said)
    if "const" in said:
        said["enum"] = [said.pop("const")]
    if isinstance(choices := said.pop("oneOf", None), list) and "anyOf" not in said:
        said["anyOf"] = choices
    if isinstance(parts := said.get("allOf"), list) and len(parts) == 1:
        del said["allOf"]
        said = {**parts[0], **said} if isinstance(parts[0], dict) else said
    if notes := _notes(said):
        description = said.get("description")
        words = "; ".join(notes)
        said["description"] = f"{description} ({words})" if description else words
    return said


def _inner(schema: Schema) -> Schema:
    """The schemas within a schema, in words."""
    inner: Schema = {}
    if isinstance(properties := schema.get("properties"), dict):
        inner["properties"] = {name: _one(part) for name, part in properties.items()}
    for name in ("items", "additionalProperties"):
        if name in schema:
            inner[name] = _one(schema[name])
    for name in _INNER_LISTS:
        if isinstance(parts := schema.get(name), list):
            inner[name] = [_one(part) for part in parts]
    return inner


def _one(schema: JsonValue) -> JsonValue:
    return in_words(schema) if isinstance(schema, dict) else schema


def _notes(schema: Schema) -> list[str]:
    notes = [
        words.format(_written(schema[name]))
        for name, words in _WORDS.items()
        if schema.get(name) is not None
    ]
    if schema.get("uniqueItems") is True:
        notes.append("no item twice")
    if isinstance(values := schema.get("additionalProperties"), dict):
        notes.append(f"an object whose values are: {_kind(values)}")
    if isinstance(parts := schema.get("prefixItems"), list):
        notes.append(f"the items are, in order: {', '.join(map(_kind, parts))}")
    return notes


def _kind(schema: JsonValue) -> str:
    """A schema in a word or two."""
    if not isinstance(schema, dict):
        return "anything"
    if isinstance(values := schema.get("enum"), list):
        return " or ".join(map(_written, values))
    if isinstance(choices := schema.get("anyOf"), list):
        return " or ".join(map(_kind, choices))
    return str(schema.get("type", "anything"))


def _written(value: JsonValue) -> str:
    return value if isinstance(value, str) and value else orjson.dumps(value).decode()

"""Which schemas llama.cpp can turn into a grammar, and what it says of the others. Pure.

Only the refusals are made here: a walk through the schema in llama.cpp's order (build b10488,
`common/json-schema-to-grammar.cpp`), in which each part that it cannot take adds one complaint.
"""

import json
from collections.abc import Iterator

from sandbox.ollama.gojson import JsonObject, JsonValue

_PRIMITIVES = {
    "boolean", "number", "integer", "string", "null", "object", "array", "value", "char", "uuid",
    "decimal-part", "integral-part",
}  # fmt: skip
_LISTS = ("anyOf", "oneOf", "allOf")
_BOUNDS = ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum")


def complaint(schema: JsonValue) -> str:
    """What llama.cpp complains of, in its words and order; "" for a schema that it takes."""
    if mistake := _mistyped(schema):
        return f"[json.exception.type_error.302] type must be {mistake}"
    found = list(_bad_references(schema, schema)) or list(_visited(schema, schema, frozenset()))
    return "\n".join(["JSON schema conversion failed:", *found]) if found else ""


def _mistyped(node: JsonValue) -> str:
    """The first keyword whose value is of a type that llama.cpp's JSON library throws at."""
    if isinstance(node, list):
        return next((found for one in node if (found := _mistyped(one))), "")
    if not isinstance(node, dict):
        return ""
    for name, value in node.items():
        if name in _LISTS and isinstance(value, dict):
            return "array, but is object"
        if name in _BOUNDS and isinstance(value, str):
            return "number, but is string"
    return next((found for one in node.values() if (found := _mistyped(one))), "")


def _bad_references(node: JsonValue, root: JsonValue) -> Iterator[str]:
    """All references are resolved before anything else."""
    if isinstance(node, list):
        for one in node:
            yield from _bad_references(one, root)
    if not isinstance(node, dict):
        return
    reference = node.get("$ref")
    if not isinstance(reference, str):
        for one in node.values():
            yield from _bad_references(one, root)
    elif not reference.startswith(("#/", "https://")):
        yield f"Unsupported ref: {reference}"
    elif reference.startswith("#/") and isinstance(found := _resolved(reference, root), str):
        yield found


def _resolved(reference: str, root: JsonValue) -> JsonObject | list[JsonValue] | str:
    """What `reference` points at; the complaint where it points at nothing."""
    target = root
    for step in reference.removeprefix("#/").split("/"):
        if isinstance(target, dict) and step in target:
            target = target[step]
        elif isinstance(target, list) and step.isdigit() and int(step) < len(target):
            target = target[int(step)]
        else:
            return f"Error resolving ref {reference}: {step} not in {_dumped(target)}"
    return target if isinstance(target, dict | list) else {}


def _visited(schema: JsonValue, root: JsonValue, seen: frozenset[str]) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield f"Unrecognized schema: {_dumped(schema)}"
        return
    kind = schema.get("type")
    if isinstance(reference := schema.get("$ref"), str):
        if reference not in seen:
            yield from _visited(_resolved(reference, root), root, seen | {reference})
    elif alternatives := schema.get("oneOf", schema.get("anyOf")):
        yield from _all(alternatives, root, seen)
    elif isinstance(kind, list):
        for one in kind:
            yield from _visited({**schema, "type": one}, root, seen)
    elif "const" in schema or "enum" in schema:
        return
    else:
        yield from _of_kind(schema, kind, root, seen)


def _of_kind(
    schema: JsonObject, kind: JsonValue, root: JsonValue, seen: frozenset[str]
) -> Iterator[str]:
    further = schema.get("additionalProperties")
    if kind in (None, "object") and ("properties" in schema or further not in (None, True)):
        properties = schema.get("properties")
        yield from _all(
            list(properties.values()) if isinstance(properties, dict) else [], root, seen
        )
        if isinstance(further, dict):
            yield from _visited(further, root, seen)
    elif kind in (None, "object", "string") and "allOf" in schema:
        yield from _components(schema["allOf"], root, seen)
    elif kind in (None, "array") and ("items" in schema or "prefixItems" in schema):
        items = schema.get("items", schema.get("prefixItems"))
        yield from _all(items if isinstance(items, list) else [items], root, seen)
    elif kind in (None, "string") and isinstance(pattern := schema.get("pattern"), str):
        if not (pattern.startswith("^") and pattern.endswith("$")):
            yield "Pattern must start with '^' and end with '$'"
    elif kind is not None and (not isinstance(kind, str) or kind not in _PRIMITIVES):
        yield f"Unrecognized schema: {_dumped(schema)}"


def _dumped(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _components(parts: JsonValue, root: JsonValue, seen: frozenset[str]) -> Iterator[str]:
    """The parts of an `allOf`: only their properties count."""
    for part in parts if isinstance(parts, list) else []:
        properties = part.get("properties") if isinstance(part, dict) else None
        if isinstance(properties, dict):
            yield from _all(list(properties.values()), root, seen)


def _all(schemas: JsonValue, root: JsonValue, seen: frozenset[str]) -> Iterator[str]:
    for one in schemas if isinstance(schemas, list) else []:
        yield from _visited(one, root, seen)

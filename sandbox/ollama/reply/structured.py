"""The smallest honest answer to a JSON Schema: what `format` asks for. Pure."""

from sandbox.ollama.gojson import JsonObject, JsonValue


def instance(
    response_format: JsonValue, text: str, number: int = 1, *, is_sorted: bool = False
) -> JsonValue:
    """A value that fits the schema; for `"json"` and `{}` `{"reply": text}`.

    `text` stands for every string, `number` for every number. Knows type, properties, items, enum,
    const, anyOf and `$ref` into `$defs`; no bounds. `is_sorted` puts properties in alphabetical
    order.
    """
    if not isinstance(response_format, dict) or not response_format:
        return {"reply": text}
    plain: JsonObject = {"string": text, "boolean": True, "null": None, "object": {}}
    plain |= {"integer": number, "number": number}
    found = _of(response_format, response_format, plain)
    return _sorted(found) if is_sorted else found


def _of(schema: JsonValue, root: JsonObject, plain: JsonObject) -> JsonValue:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if isinstance(enum := schema.get("enum"), list) and enum:
        return enum[0]
    if isinstance(variants := schema.get("anyOf"), list) and variants:
        return _of(variants[0], root, plain)
    if isinstance(properties := schema.get("properties"), dict):
        return {name: _of(member, root, plain) for name, member in properties.items()}
    kind = schema.get("type")
    if isinstance(kind, list) and kind:
        kind = kind[0]
    if kind == "array":
        return [_of(schema.get("items"), root, plain)]
    return plain.get(str(kind), plain["string"])


def _sorted(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def _resolved(schema: JsonValue, root: JsonObject) -> JsonObject:
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    definitions = root.get("$defs")
    found = definitions.get(reference.rpartition("/")[2]) if isinstance(definitions, dict) else None
    return found if isinstance(found, dict) else {}

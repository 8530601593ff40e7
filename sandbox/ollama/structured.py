"""The smallest honest answer to a JSON Schema: what `format` asks for. Pure."""

from sandbox.ollama.gojson import JsonObject, JsonValue


def instance(response_format: JsonValue, text: str) -> JsonValue:
    """A value that fits the schema, with `text` for every string; for `"json"` `{"reply": text}`.

    Knows type, properties, items, enum, const, anyOf and `$ref` into `$defs`; no bounds.
    """
    if not isinstance(response_format, dict):
        return {"reply": text}
    return _of(response_format, response_format, text)


def _of(schema: JsonValue, root: JsonObject, text: str) -> JsonValue:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if isinstance(enum := schema.get("enum"), list) and enum:
        return enum[0]
    if isinstance(variants := schema.get("anyOf"), list) and variants:
        return _of(variants[0], root, text)
    if isinstance(properties := schema.get("properties"), dict):
        return {name: _of(member, root, text) for name, member in properties.items()}
    if schema.get("type") == "array":
        return [_of(schema.get("items"), root, text)]
    plain: JsonObject = {"integer": 1, "number": 1, "boolean": True, "null": None, "object": {}}
    return plain.get(str(schema.get("type")), text)


def _resolved(schema: JsonValue, root: JsonObject) -> JsonObject:
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    definitions = root.get("$defs")
    found = definitions.get(reference.rpartition("/")[2]) if isinstance(definitions, dict) else None
    return found if isinstance(found, dict) else {}

"""The smallest honest answer to a JSON Schema: what `format` asks for. Pure."""

from sandbox.ollama.gojson import JsonObject, JsonValue


def instance(response_format: JsonValue, text: str, number: int = 1) -> JsonValue:
    """A value that fits the schema; for `"json"` `{"reply": text}`.

    `text` stands for every string, `number` for every number. Knows type, properties, items, enum,
    const, anyOf and `$ref` into `$defs`; no bounds.
    """
    if not isinstance(response_format, dict):
        return {"reply": text}
    plain: JsonObject = {"string": text, "boolean": True, "null": None, "object": {}}
    plain |= {"integer": number, "number": number}
    return _of(response_format, response_format, plain)


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
    if schema.get("type") == "array":
        return [_of(schema.get("items"), root, plain)]
    return plain.get(str(schema.get("type")), plain["string"])


def _resolved(schema: JsonValue, root: JsonObject) -> JsonObject:
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    definitions = root.get("$defs")
    found = definitions.get(reference.rpartition("/")[2]) if isinstance(definitions, dict) else None
    return found if isinstance(found, dict) else {}

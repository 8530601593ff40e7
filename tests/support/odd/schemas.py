"""Schemas that a real Ollama refused as a format, and what is known of why."""

import re
from collections.abc import Iterator, Mapping

MAX_REPEATS = 1000

ODD_SCHEMAS: Mapping[str, dict[str, object]] = {
    "a property of any kind": {"type": "object", "properties": {"a": True}},
    "a property of no kind": {"type": "object", "properties": {"a": False}},
    "items of any kind": {"type": "array", "items": True},
    "a pattern without anchors": {"type": "string", "pattern": "abc"},
    "a pattern with short forms": {"type": "string", "pattern": r"^\d{2}$"},
    "a pattern with an escaped mark": {"type": "string", "pattern": r"^a\-b$"},
    "an empty pattern": {"type": "string", "pattern": ""},
    "many repetitions": {"type": "string", "pattern": "^a{9999}$"},
    "a letter with an accent": {"type": "string", "pattern": "^é+$"},
    "a reference with an escape": {
        "$defs": {"a/b": {"type": "string"}},
        "properties": {"x": {"$ref": "#/$defs/a~1b"}},
    },
    "a property that is called $ref": {
        "type": "object",
        "properties": {"$ref": {"type": "string"}},
    },
    "a number beyond 64 bits": {"type": "integer", "minimum": 10**30},
    "a long text": {"type": "string", "maxLength": 2000},
    "nothing behind the first items": {
        "type": "array",
        "prefixItems": [{"type": "integer"}],
        "items": False,
    },
    "a choice of nothing": {"anyOf": []},
    "a choice of anything": {"anyOf": [True]},
    "a format that is no text": {"type": "string", "format": 7},
    "a reference at the root": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {}},
    },
}

_ANY = r'[^"\\\x00-\x1F]'
ODD_PATTERNS: Mapping[str, str | None] = {
    "abc": f"^{_ANY}*(abc){_ANY}*$",
    "^abc": f"^(abc){_ANY}*$",
    "abc$": f"^{_ANY}*(abc)$",
    r"^\d{2}$": "^([0-9]{2})$",
    r"^[\d.]+$": "^([0-9.]+)$",
    r"^\w\s\S$": '^([A-Za-z0-9_][ ][^ "\\\\\\x00-\\x1F])$',
    "^a.b$": f"^(a{_ANY}b)$",
    "^[^a]$": '^([^a"\\\\\\x00-\\x1F])$',
    r"^a\.b\-c$": "^(a[.]b-c)$",
    "^(?:a|b)$": "^((a|b))$",
    "a|b": f"^{_ANY}*(a|b){_ANY}*$",
    "^a+?$": "^(a+)$",
    "^a|b$": None,
    "^$": None,
    "": None,
    "^a**$": None,
    r"^\bword$": None,
    r"^\p{L}$": None,
    "^(?=a)b$": None,
    "^(?i)a$": None,
    "^é$": None,
    '^["]$': None,
    "^a{1001}$": None,
    "^()$": None,
    "^a^b$": None,
}


def grammar_faults(schema: object) -> list[str]:
    """What llama.cpp's converter would refuse of a schema, as far as it is known here."""
    faults = ["a reference at the root"] if "$ref" in dict_of(schema) else []
    return [*faults, *_faults(schema, schema)]


def dict_of(value: object) -> dict[str, object]:
    """A schema; an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def _faults(schema: object, root: object) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield f"no object: {schema}"
        return
    yield from _faults_of_words(schema)
    yield from _faults_of_references(schema, root)
    for part in _inner(schema):
        yield from _faults(part, root)


def _faults_of_references(schema: dict[str, object], root: object) -> Iterator[str]:
    if "$ref" in schema and not _leads_somewhere(schema["$ref"], root):
        yield "a reference that leads nowhere"
    if "$ref" in dict_of(schema.get("properties")) or "{'$ref'" in str(schema.get("enum")):
        yield "something that is called $ref"
    if schema.get("anyOf") == []:
        yield "a choice of nothing"


def _inner(schema: dict[str, object]) -> Iterator[object]:
    for name in ("properties", "$defs"):
        yield from dict_of(schema.get(name)).values()
    for name in ("items", "anyOf", "prefixItems"):
        parts = schema.get(name, [])
        yield from parts if isinstance(parts, list) else [parts]
    if not isinstance(more := schema.get("additionalProperties", True), bool):
        yield more


def _faults_of_words(schema: dict[str, object]) -> Iterator[str]:
    if not isinstance(schema.get("format", ""), str):
        yield "a format that is no text"
    if not isinstance(schema.get("maxLength", 0), int) or schema.get("maxLength", 0) > MAX_REPEATS:  # type: ignore[operator]  # an int
        yield "a length that is none"
    if abs(schema.get("minimum", 0)) >= 2**63:  # type: ignore[arg-type]  # a number
        yield "a bound beyond 64 bits"
    if isinstance(pattern := schema.get("pattern"), str):
        escapes = set(re.findall(r"\\(.)", pattern)) - set('"\\x[]')
        is_whole = pattern.startswith("^") and pattern.endswith("$") and len(pattern) > 2
        is_long = any(int(n) > MAX_REPEATS for n in re.findall(r"\{(\d+)", pattern))
        if escapes or not is_whole or is_long or not pattern.isascii():
            yield f"a pattern: {pattern}"


def _leads_somewhere(reference: object, root: object) -> bool:
    target = root
    for name in str(reference).removeprefix("#/").split("/"):
        if not isinstance(target, dict) or name not in target:
            return False
        target = target[name]
    return True

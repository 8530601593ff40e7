"""What a JSON Schema says of a text: the work of a child process, and light to import.

jsonschema-rs holds the interpreter's lock while it checks, and a schema comes from a stranger.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import jsonschema_rs
import orjson

Schema: TypeAlias = Mapping[str, object]

WORK = "children.json_schema:answered"
MAX_PLACE_CHARS = 200
_PATTERNS = jsonschema_rs.RegexOptions()


def validator(schema: Schema) -> jsonschema_rs.Validator:
    """What checks a value: it fetches nothing, and its patterns run in linear time.

    Raises jsonschema_rs.ValidationError, or another ValueError, for what is no schema.
    """
    return jsonschema_rs.validator_for(dict(schema), pattern_options=_PATTERNS, offline=True)


def first_fit(schema: Schema, texts: Sequence[str]) -> tuple[int | None, int | None]:
    """Which of the texts is the first that fits the schema, and which is the last that is JSON."""
    check, last_json = validator(schema), None
    for at, text in enumerate(texts):
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        last_json = at
        # Stops at the first error, where `iter_errors` computes all of them before it gives one.
        if check.is_valid(value):
            return at, last_json
    return None, last_json


def place_of_misfit(schema: Schema, text: str) -> str:
    """Where in the schema it says what a JSON text does not fit; "" where it does.

    That may take thousands of times as long as seeing that it does not: of a choice all errors of
    all branches are made.
    """
    try:
        validator(schema).validate(orjson.loads(text))
    except jsonschema_rs.ValidationError as misfit:
        return place_in(misfit.schema_path)
    return ""


def place_in(path: Sequence[str | int]) -> str:
    """A path in a schema, as a JSON Pointer reads but without its escapes.

    It goes into logs and dead letters, so it is cut, and its control characters are replaced.
    """
    place = "/" + "/".join(map(str, path))
    return "".join(char if char.isprintable() else "?" for char in place[:MAX_PLACE_CHARS])


def answered(request: bytes) -> bytes:
    """One request of the parent: `[schema, texts]` for `first_fit`, `[schema, text]` for the place
    of its misfit."""
    schema, asked = orjson.loads(request)
    if isinstance(asked, str):
        return place_of_misfit(schema, asked).encode()
    return orjson.dumps(first_fit(schema, asked))

"""What a JSON Schema says of a text: the work of a child process, and light to import.

jsonschema-rs holds the interpreter's lock while it checks, and a schema comes from a stranger.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import jsonschema_rs
import orjson

Schema: TypeAlias = Mapping[str, object]

WORK = "children.json_schema:answered"
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


def place_of_misfit(schema: Schema, text: str) -> Sequence[str | int]:
    """Where in the schema it says what a JSON text does not fit; empty where it does.

    That may take thousands of times as long as seeing that it does not: of a choice all errors of
    all branches are made.
    """
    try:
        validator(schema).validate(orjson.loads(text))
    except jsonschema_rs.ValidationError as misfit:
        return misfit.schema_path
    return ()


def answered(request: bytes) -> bytes:
    """One request of the parent: `[schema, texts]` for `first_fit`, `[schema, text]` for the place
    of its misfit."""
    schema, asked = orjson.loads(request)
    if isinstance(asked, str):
        return orjson.dumps(place_of_misfit(schema, asked))
    return orjson.dumps(first_fit(schema, asked))

"""The form that a reply must have: any JSON, or JSON that fits a schema.

A schema comes from the sender of a job, and making a validator of it keeps the interpreter's lock.
So that is bounded: it is never compiled to Python, its patterns run in linear time (no look-around,
no back-references), its references lead nowhere outside of it, and neither they nor counted
repetitions multiply. What of it no grammar of Ollama's can hold (llm/wire/grammar.py) is checked
here all the same, in the reply (tasks/turn/reply_check.py).
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import jsonschema_rs
import orjson
from pydantic import JsonValue

from children.json_schema import validator
from memory.quoting import quoted
from tasks.errors import InvalidJob
from tasks.job.weights.schema_weight import Weight, weight_of

ReplyFormat: TypeAlias = Literal["json"] | dict[str, JsonValue]

MAX_SCHEMA_BYTES = 32_768
MAX_SCHEMA_DEPTH = 64
"""Objects and lists within each other; far below what any JSON parser on the way takes."""

MAX_PLACE = 16
"""Parts of a place in a schema that an error names."""


def check_format(wanted: ReplyFormat | None) -> None:
    """Raise InvalidJob unless `wanted` is "json", or a JSON Schema that can be used."""
    if isinstance(wanted, dict):
        weigh(wanted)
        check_keywords(wanted)


def weigh(wanted: dict[str, JsonValue]) -> Weight:
    """How heavy a JSON Schema is. Raises InvalidJob for one that is too heavy, or no JSON."""
    if _depth(wanted) > MAX_SCHEMA_DEPTH:
        raise InvalidJob(f"format is nested deeper than {MAX_SCHEMA_DEPTH} levels")
    size_bytes = len(_packed(wanted))
    if size_bytes > MAX_SCHEMA_BYTES:
        raise InvalidJob(f"format has {size_bytes} bytes; the limit is {MAX_SCHEMA_BYTES}")
    return weight_of(wanted)


def check_keywords(schema: Mapping[str, JsonValue]) -> None:
    """Raise InvalidJob for what cannot be used as a JSON Schema; `weigh` it before."""
    try:
        validator(schema)
    except jsonschema_rs.ValidationError as exc:
        raise InvalidJob(
            f"format is not a usable JSON Schema, see {place_in(exc.instance_path)}: known "
            "keywords, references within it, patterns without look-around"
        ) from None
    except ValueError as exc:
        raise InvalidJob(f"format is not a usable JSON Schema: {exc}") from None


def _packed(schema: Mapping[str, JsonValue]) -> bytes:
    try:
        packed = orjson.dumps(schema)
    except TypeError:
        raise InvalidJob("format must be a JSON object") from None
    if orjson.loads(packed) != schema:
        raise InvalidJob("format must be a JSON object: it contains a number that is not finite")
    return packed


def place_in(path: Sequence[str | int]) -> str:
    """Where in a schema, which names what its sender likes: as a JSON Pointer reads, but without
    its escapes, and of what is no name only how long it is."""
    more = ["…"] if len(path) > MAX_PLACE else []
    return "/" + "/".join([*(quoted(part).strip("'") for part in path[:MAX_PLACE]), *more])


def _depth(value: JsonValue) -> int:
    """How deep lists and objects lie within each other."""
    depth, level = 0, [value]
    while level:
        inner = [item for item in level if isinstance(item, dict | list)]
        level = [part for item in inner for part in _parts(item)]
        depth += bool(inner)
    return depth


def _parts(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []

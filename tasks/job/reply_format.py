"""The form that a reply must have: any JSON, or JSON that fits a schema.

A schema comes from the sender of a job and is used on the event loop of all turns. So its work is
bounded: it is never compiled to Python, its patterns run in linear time (no look-around, no
back-references), its references lead nowhere outside of it and do not multiply. What of it no
grammar of Ollama's can hold (llm/wire/grammar.py) is checked here all the same, in the reply.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import jsonschema_rs
import orjson
from pydantic import JsonValue

from llm import FormatCutShortError, FormatMismatchError
from memory.quoting import quoted
from tasks.errors import InvalidJob
from tasks.job.reply_text import candidates
from tasks.job.schema_weight import check_weight

ReplyFormat: TypeAlias = Literal["json"] | dict[str, JsonValue]

MAX_SCHEMA_BYTES = 32_768
MAX_SCHEMA_DEPTH = 64
"""Objects and lists within each other; far below what any JSON parser on the way takes."""

MAX_PLACE = 16
"""Parts of a place in a schema that an error names."""

_PATTERNS = jsonschema_rs.RegexOptions()


def check_format(wanted: ReplyFormat | None) -> None:
    """Raise InvalidJob unless `wanted` is "json", or a JSON Schema that can be used."""
    if not isinstance(wanted, dict):
        return
    if _depth(wanted) > MAX_SCHEMA_DEPTH:
        raise InvalidJob(f"format is nested deeper than {MAX_SCHEMA_DEPTH} levels")
    size_bytes = len(_packed(wanted))
    if size_bytes > MAX_SCHEMA_BYTES:
        raise InvalidJob(f"format has {size_bytes} bytes, at most {MAX_SCHEMA_BYTES} are allowed")
    check_weight(wanted)
    _validator(wanted)


class ParsedReply(NamedTuple):
    """The JSON of a reply, without what was around it, and the value that it stands for."""

    text: str
    value: JsonValue


def parsed_reply(text: str, wanted: ReplyFormat, *, done_reason: str) -> ParsedReply:
    """The JSON in a reply, be it in a Markdown fence, behind thoughts or with words around it.

    Raises FormatMismatchError where there is none or it does not fit the schema; its message names
    the path in the schema and holds nothing of the reply. A reply that was cut short for want of
    room is a FormatCutShortError: the same request would be cut again.
    """
    problem = "the reply is not JSON, as format wants it"
    for found in dict.fromkeys(candidates(text)):
        try:
            value: JsonValue = orjson.loads(found)
        except orjson.JSONDecodeError:
            continue
        misfit = _misfit(value, wanted)
        if misfit is None:
            return ParsedReply(found, value)
        problem = misfit
    if done_reason == "length":
        raise FormatCutShortError(
            f"{problem}: it ran into max_tokens or the window; allow it more tokens, or ask for "
            "less"
        )
    raise FormatMismatchError(problem)


def _misfit(value: JsonValue, wanted: ReplyFormat) -> str | None:
    if not isinstance(wanted, dict):
        return None
    problem = next(_validator(wanted).iter_errors(value), None)
    if problem is None:
        return None
    return f"the reply does not fit the schema of format, see {_place(problem.schema_path)}"


def _validator(schema: Mapping[str, JsonValue]) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(dict(schema), pattern_options=_PATTERNS, offline=True)
    except jsonschema_rs.ValidationError as exc:
        raise InvalidJob(
            f"format is no JSON Schema that can be used, see {_place(exc.instance_path)}: known "
            "keywords, references within it, patterns without look-around"
        ) from None
    except ValueError as exc:
        raise InvalidJob(f"format is no JSON Schema that can be used: {exc}") from None


def _packed(schema: Mapping[str, JsonValue]) -> bytes:
    try:
        packed = orjson.dumps(schema)
    except TypeError:
        raise InvalidJob("format must be a JSON object") from None
    if orjson.loads(packed) != schema:
        raise InvalidJob("format must be a JSON object: it holds a number that is not finite")
    return packed


def _place(path: list[str | int]) -> str:
    """Where in a schema, which names what its sender likes."""
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

"""The form of a reply: which schemas are taken, and which replies fit them."""

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm import FormatMismatchError
from tasks.errors import InvalidJob
from tasks.reply_format import (
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    ReplyFormat,
    check_format,
    parsed_reply,
)

SECRET = "what nobody may read in a log"  # noqa: S105  # text of a conversation
AGE = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}, "name": {"type": "string"}},
    "required": ["age"],
    "additionalProperties": False,
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def nested(depth: int) -> ReplyFormat:
    """A schema of so many objects within each other."""
    schema: ReplyFormat = {}
    for _ in range(depth - 1):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        AGE,
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}},
        {"$defs": {"word": {"pattern": "^[a-z]+$"}}, "items": {"$ref": "#/$defs/word"}},
        {"const": None, "default": None},
        nested(MAX_SCHEMA_DEPTH),
    ],
)
def test_schemas_of_any_draft_are_taken(schema: ReplyFormat) -> None:
    """As pydantic and others write them."""
    check_format(schema)


WRONG: dict[str, tuple[ReplyFormat, str]] = {
    "an unknown type": ({"type": "word"}, "see /type"),
    "a property that is no schema": ({"properties": {"a": 5}}, "see /properties/a"),
    "a reference to a server": ({"$ref": "http://127.0.0.1:9/x"}, "references within it"),
    "a reference to a file": ({"$ref": "file:///etc/passwd"}, "references within it"),
    "a reference to nothing": ({"$ref": "#/$defs/none"}, "no JSON Schema"),
    "a draft nobody knows": ({"$schema": "http://127.0.0.1:9/draft"}, "no JSON Schema"),
    "a pattern that looks around": ({"pattern": "(?=a)b"}, "see /pattern"),
    "a pattern that grows": ({"pattern": "a{9999}{9999}"}, "see /pattern"),
    "a level too deep": (nested(MAX_SCHEMA_DEPTH + 1), "nested deeper than 64"),
    "a byte too long": ({"title": "x" * MAX_SCHEMA_BYTES}, "at most 32768 are allowed"),
    "no number": ({"minimum": float("nan")}, "not finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(case: str) -> None:
    """Before anything is sent; nothing is fetched from anywhere."""
    schema, reason = WRONG[case]
    with pytest.raises(InvalidJob, match=r"^format ") as caught:
        check_format(schema)
    assert reason in str(caught.value)


@given(value=json_values)
def test_json_is_given_back_as_its_value(value: object) -> None:
    """Any JSON value for "json", and for a schema that allows everything."""
    text = orjson.dumps(value).decode()
    assert parsed_reply(text, "json", done_reason="stop") == value
    assert parsed_reply(text, {}, done_reason="stop") == value


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f'{{"age": -1, "name": "{SECRET}"}}', "/properties/age/minimum"),
        (f'{{"age": "{SECRET}"}}', "/properties/age/type"),
        (f'{{"age": 1, "{SECRET}": 2}}', "/additionalProperties"),
        ("{}", "/required"),
        (f'"{SECRET}"', "/type"),
    ],
)
def test_a_reply_that_does_not_fit_is_named_by_the_schema_and_not_quoted(
    text: str, place: str
) -> None:
    """The error goes to dead letters, logs and Flower."""
    with pytest.raises(FormatMismatchError, match=place) as caught:
        parsed_reply(text, AGE, done_reason="stop")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", SECRET, '{"age": 1', '{"age": NaN}', "{'age': 1}"])
def test_a_reply_that_is_no_json_says_so(text: str) -> None:
    """And why, where the model was cut short."""
    for reason, told in (("stop", "wants it$"), ("length", "ran into max_tokens")):
        with pytest.raises(FormatMismatchError, match=told) as caught:
            parsed_reply(text, "json", done_reason=reason)
        assert SECRET not in str(caught.value)


def test_a_pattern_cannot_keep_the_event_loop() -> None:
    """What takes a backtracking engine for ever is linear here."""
    schema: ReplyFormat = {"type": "string", "pattern": "^(a+)+$"}
    check_format(schema)
    began = time.monotonic()
    with pytest.raises(FormatMismatchError):
        parsed_reply(orjson.dumps("a" * 50_000 + "!").decode(), schema, done_reason="stop")
    assert time.monotonic() - began < 1

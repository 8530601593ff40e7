"""Schemas and patterns as llama.cpp's grammars take them; tests/model holds them to a real one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm import ChatRequest
from llm.wire.grammar import grammar_format, grammar_schema
from llm.wire.grammar_pattern import ANY, grammar_pattern
from tests.support.odd.schemas import ODD_PATTERNS, ODD_SCHEMAS, grammar_faults


@pytest.mark.parametrize("case", ODD_SCHEMAS)
def test_what_the_converter_refuses_is_written_another_way(case: str) -> None:
    """Each of the table, all seen to be refused by a real server."""
    assert grammar_faults(ODD_SCHEMAS[case])
    assert not grammar_faults(grammar_schema(ODD_SCHEMAS[case]))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"enum": [1, "x"]}}},
        {"type": "array", "items": {"type": "string", "maxLength": 9}, "minItems": 1},
        {"anyOf": [{"type": "string", "format": "date"}, {"const": None}]},
        {"type": "object", "additionalProperties": False, "required": ["a"], "title": "T"},
    ],
)
def test_a_schema_that_it_takes_stays_as_it_is(schema: dict[str, object]) -> None:
    """The order of its properties too: where Ollama keeps it, replies come in it."""
    assert grammar_schema(schema) == schema
    assert repr(grammar_schema(schema).get("properties")) == repr(schema.get("properties"))


def test_references_lead_to_definitions_of_their_own() -> None:
    """Recursive ones too; one that leads nowhere allows everything."""
    tree = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"items": {"$ref": "#"}}}}
    assert grammar_schema(tree) == {
        "items": {"$ref": "#/$defs/d1"},
        "$defs": {"d0": {"items": {"$ref": "#/$defs/d1"}}, "d1": {"$ref": "#/$defs/d0"}},
    }
    assert grammar_schema({"not": {}, "items": {"$ref": "http://a/b"}}) == {
        "items": {"$ref": "#/$defs/d0"},
        "$defs": {"d0": {}},
    }
    assert grammar_schema({"$ref": "#"}) == {}


def test_what_it_would_read_against_the_schema_is_left_out() -> None:
    """It takes `items` for the first ones too: no list would ever fit."""
    first = [{"type": "integer"}]
    both = {"type": "array", "prefixItems": first, "items": {"type": "string"}}
    assert grammar_schema(both) == {"type": "array"}
    assert grammar_schema({"prefixItems": first}) == {"prefixItems": first}


@pytest.mark.parametrize(("pattern", "converted"), ODD_PATTERNS.items())
def test_a_pattern_is_written_as_a_grammar_knows_it(pattern: str, converted: str | None) -> None:
    """Anchored, without short forms; a dot is no quote; what cannot be said is left out."""
    assert grammar_pattern(pattern) == converted


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("[A-Z]{2}-\\d+", ["GH-1", "x GH-12 y"]),
        ("^\\w+@\\w+\\.[a-z]{2,}$", ["a_1@b.org"]),
        ("a|b", ["xay", "b"]),
        ("^(?:[01]\\d|2[0-3]):[0-5]\\d$", ["09:59", "23:00"]),
        ("^\\S+ \\S+?$", ["a b"]),
        ("^[^,]*,$", ["ab,"]),
    ],
)
def test_the_same_texts_fit(pattern: str, texts: list[str]) -> None:
    """A grammar may allow more than the schema, never less."""
    converted = grammar_pattern(pattern)
    assert converted is not None
    for text in texts:
        assert re.search(pattern, text)
        assert re.search(converted, text)


_SCHEMAS = st.recursive(
    st.booleans()
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["string", "integer", "object"]),
            "pattern": st.text(alphabet="^$a\\d.[]()|*+?{}1,", max_size=8),
            "format": st.just("date") | st.integers(),
            "maxLength": st.integers(0, 9999) | st.floats(0, 9),
            "minimum": st.integers(-(10**30), 10**30),
            "enum": st.lists(st.just({"$ref": 1}) | st.integers(), max_size=2),
            "$ref": st.sampled_from(["#", "#/properties/a", "#/items", "x"]),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from(["a", "$ref"]), inner, max_size=2),
            "items": inner | st.lists(inner, max_size=2),
            "anyOf": st.lists(inner, max_size=2),
            "prefixItems": st.lists(inner, max_size=2),
            "additionalProperties": inner,
        },
    ),
    max_leaves=8,
)


@given(_SCHEMAS.filter(lambda schema: isinstance(schema, dict)))
def test_no_schema_at_all_becomes_one_that_is_refused(schema: dict[str, object]) -> None:
    """By what is known of the converter."""
    assert not grammar_faults(grammar_schema(schema))


def test_a_format_without_members_is_said_as_one_with_some() -> None:
    """Any object for "json", any value for the empty schema."""
    assert grammar_format("json") == {"type": "object"}
    kinds = {"object", "array", "string", "number", "boolean", "null"}
    assert grammar_format("yaml") == "yaml"
    for empty in ({}, {"not": {}}):
        said = grammar_format(empty)
        assert isinstance(said, dict)
        choices = said["anyOf"]
        assert isinstance(choices, list)
        assert {choice["type"] for choice in choices} == kinds
    assert b'"format":{"type":"object"}' in ChatRequest(model="m", format="json").body()


def test_a_request_with_a_format_asks_a_model_not_to_think() -> None:
    """Unless it says otherwise; gpt-oss cannot do without."""
    asked = ChatRequest(model="m", format={"type": "string", "pattern": "a"})
    assert b'"think":false' in asked.body()
    assert ANY.replace("\\", "\\\\").replace('"', '\\"').encode() in asked.body()
    for request in (
        ChatRequest(model="m"),
        ChatRequest(model="GPT-OSS:20b", format="json"),
    ):
        assert b"think" not in request.body()
    assert b'"think":true' in ChatRequest(model="m", format="json", think=True).body()

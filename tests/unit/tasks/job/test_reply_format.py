"""The form of a reply: which schemas are taken, and which replies fit them."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from children import json_schema
from children.pool import Children
from llm import Final, FormatCutShortError, FormatMismatchError, FormatTooDearError, ModelReply
from tasks.attempt.retry import is_retried
from tasks.errors import InvalidJob
from tasks.job.reply_format import (
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    ReplyFormat,
    check_format,
)
from tasks.job.reply_text import MAX_LEVELS
from tasks.job.weights.schema_weight import MAX_PATTERN_CHARS
from tasks.process.worker.services import CHECKER
from tasks.turn.reply_check import (
    MAX_REPLY_BYTES,
    MAX_WORK_HERE,
    ParsedReply,
    ReplyChecks,
    is_quick,
)
from tests.support.machine import cpu_s, scaled

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

loop = asyncio.Runner()
children = Children(json_schema.WORK, most=1, limits=replace(CHECKER, cpu_s=0.3))


@pytest.fixture(scope="module", autouse=True)
def one_loop() -> Iterator[None]:
    """One event loop and one child process for all checks of this module."""
    yield
    loop.run(children.aclose())
    loop.close()


def parsed_reply(text: str, wanted: ReplyFormat, *, done_reason: str) -> ParsedReply:
    """What a turn makes of a reply."""
    answer = ModelReply(text, Final(done_reason=done_reason))
    parsed = loop.run(ReplyChecks(children).parsed(wanted, answer))
    assert parsed is not None
    return parsed


def test_a_reply_is_as_deep_as_a_result_may_be() -> None:
    """A deeper one would be answered, and its result could not be stored."""
    deepest = "[" * MAX_LEVELS + "]" * MAX_LEVELS
    assert parsed_reply(deepest, "json", done_reason="stop").text == deepest
    with pytest.raises(FormatMismatchError, match=f"deeper than {MAX_LEVELS} levels"):
        parsed_reply(f"[{deepest}]", "json", done_reason="stop")


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
    "a reference to a server": ({"$ref": "http://127.0.0.1:9/x"}, "whose target is not in it"),
    "a reference to a file": ({"$ref": "file:///etc/passwd"}, "whose target is not in it"),
    "a reference to nothing": ({"$ref": "#/$defs/none"}, "whose target is not in it"),
    "a reference through a number": (
        {"title": "x", "$ref": "#/title/0"},
        ("whose target is not in it"),
    ),
    "a recursive one": ({"properties": {"next": {"$ref": "#"}}}, "is recursive"),
    "a hidden recursion": ({"items": {"$ref": "#/%69tems"}}, "is recursive"),
    "two that name each other": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}},
        "is recursive",
    ),
    "an anchor": ({"$anchor": "here", "not": {"$ref": "#here"}}, "must not use $anchor"),
    "a dynamic reference": ({"items": {"$dynamicRef": "#x"}}, "must not use $dynamicRef"),
    "an old draft": ({"$schema": "http://json-schema.org/draft-04/schema#"}, "draft 6 or newer"),
    "a name of its own": ({"$id": "http://h/", "$ref": "other"}, "must not use $id"),
    "a draft nobody knows": ({"$schema": "http://127.0.0.1:9/draft"}, "not a usable JSON Schema"),
    "a pattern that looks around": ({"pattern": "(?=a)b"}, "see /pattern"),
    "a pattern that grows": ({"pattern": "a{9999}{9999}"}, "patterns of over"),
    "a level too deep": (nested(MAX_SCHEMA_DEPTH + 1), "nested deeper than 64"),
    "a byte too long": ({"title": "x" * MAX_SCHEMA_BYTES}, "the limit is 32768"),
    "no number": ({"minimum": float("nan")}, "not finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(case: str) -> None:
    """Before anything is sent; nothing is fetched from anywhere."""
    schema, reason = WRONG[case]
    with pytest.raises(InvalidJob, match=r"^format ") as caught:
        check_format(schema)
    assert reason in str(caught.value)


def looked_at_s(schema: ReplyFormat) -> float:
    """The CPU time that it takes to take a schema, or to refuse it."""

    def look() -> None:
        with suppress(InvalidJob):
            check_format(schema)

    return cpu_s(look)


def doubling(times: int) -> ReplyFormat:
    """Definitions that each name the next one twice."""
    definitions: dict[str, JsonValue] = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(times)
    }
    return {"$defs": {**definitions, f"a{times}": {"type": "string"}}, "$ref": "#/$defs/a0"}


def test_references_do_not_multiply() -> None:
    """A schema of 2 KB whose check would take for ever is refused at once."""
    check_format(doubling(8))
    for times in (12, 40):
        with pytest.raises(InvalidJob, match="over 10000 parts"):
            check_format(doubling(times))
    with pytest.raises(InvalidJob, match="deeper than 128 levels"):
        check_format(doubling(100))
    assert all(looked_at_s(doubling(times)) < scaled(0.3) for times in (12, 40, 100))


def test_a_schema_at_the_limits_is_checked_quickly() -> None:
    """Of a reply that does not fit, too."""
    with pytest.raises(FormatMismatchError):
        parsed_reply("5", doubling(8), done_reason="stop")
    assert cost_s("5", doubling(8))[0] < scaled(0.3)


@given(value=json_values)
def test_json_is_given_back_as_its_value(value: object) -> None:
    """Any JSON value for "json", and for a schema that allows everything."""
    text = orjson.dumps(value).decode()
    assert parsed_reply(text, "json", done_reason="stop").value == value
    assert parsed_reply(text, {}, done_reason="stop").value == value


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


def test_a_place_in_a_schema_holds_no_words_of_its_sender() -> None:
    """Properties have any name, and any number of them lie within each other."""
    wanted: dict[str, object] = {"type": "integer"}
    for name in (SECRET, *("deep" for _ in range(20))):
        wanted = {"type": "object", "properties": {name: wanted}, "required": [name]}
    reply: object = "no number"
    for name in (SECRET, *("deep" for _ in range(20))):
        reply = {name: reply}
    with pytest.raises(FormatMismatchError, match=r"/properties/deep/.*/…$") as caught:
        parsed_reply(orjson.dumps(reply).decode(), wanted, done_reason="stop")
    assert len(str(caught.value)) < 400
    with pytest.raises(FormatMismatchError, match=r"/text of .* characters/type$") as one:
        parsed_reply(
            f'{{"{SECRET}": 1}}', {"properties": {SECRET: {"type": "null"}}}, done_reason="stop"
        )
    assert SECRET not in str(one.value)


@pytest.mark.parametrize("text", ["", SECRET, '{"age": 1', '{"age": NaN}', "{'age': 1}"])
def test_a_reply_that_is_no_json_says_so(text: str) -> None:
    """It may be one the next time."""
    with pytest.raises(FormatMismatchError, match=r"format requires$") as caught:
        parsed_reply(text, "json", done_reason="stop")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", SECRET, '{"age": ', '{"name": "x"}'])
def test_a_reply_that_had_no_room_is_not_asked_for_again(text: str) -> None:
    """The same request would be cut again; it says what to do."""
    with pytest.raises(
        FormatCutShortError, match="max_tokens or the end of the window; allow"
    ) as caught:
        parsed_reply(text, AGE, done_reason="length")
    assert not is_retried(caught.value)
    assert SECRET not in str(caught.value)
    assert parsed_reply('{"age": 1}\n', AGE, done_reason="length").value == {"age": 1}


AROUND = {
    "a fence": '```json\n{"age": 1}\n```',
    "a fence without a language": '```\n{"age": 1}\n```',
    "a fence in one line": '```{"age": 1}```',
    "a fence among words": 'Here it is:\n```json\n{"age": 1}\n```\nAnything else?',
    "a second fence": '```py\nage = 1\n```\n```json\n{"age": 1}\n```',
    "a block of thoughts": '<think>\n{"age": 2}? No.\n</think>\n\n{"age": 1}',
    "thoughts whose begin was in the prompt": 'He is {one}.\n</think>\n{"age": 1}',
    "thoughts and a fence": '<thinking>Hm.</thinking>```json\n{"age": 1}\n```',
    "a byte-order mark": '\ufeff{"age": 1}',
    "words": 'The answer is {"age": 1}. [1]',
    "words with brackets": 'See [1]: {"age": 1}',
    "white space": ' \n{"age": 1}\t',
}


@pytest.mark.parametrize("case", AROUND)
def test_what_is_around_a_reply_is_taken_off(case: str) -> None:
    """Before it is checked; the text that is kept is the JSON alone."""
    found = parsed_reply(AROUND[case], AGE, done_reason="stop")
    assert found.value == {"age": 1}
    assert orjson.loads(found.text) == {"age": 1}


def test_a_value_without_brackets_is_found_too() -> None:
    """Alone, behind a byte-order mark, or in a fence; among words it is none."""
    for text in ("5", "\ufeff5", "```\n5\n```", "<think>6</think> 5"):
        assert parsed_reply(text, "json", done_reason="stop").value == 5
    with pytest.raises(FormatMismatchError):
        parsed_reply("It is 5", "json", done_reason="stop")


@given(text=st.text(alphabet="{}[]`\n<>/think\ufeff1,", max_size=60))
def test_any_text_is_a_value_or_a_misfit(text: str) -> None:
    """Whatever brackets, fences and marks it has; nothing else is raised."""
    with suppress(FormatMismatchError):
        found = parsed_reply(text, "json", done_reason="stop")
        assert orjson.loads(found.text) == found.value


def test_a_pattern_cannot_keep_the_event_loop() -> None:
    """What takes a backtracking engine for ever is linear here."""
    schema: ReplyFormat = {"type": "string", "pattern": "^(a+)+$"}
    check_format(schema)
    text = orjson.dumps("a" * 50_000 + "!").decode()
    with pytest.raises(FormatMismatchError):
        parsed_reply(text, schema, done_reason="stop")
    assert cost_s(text, schema)[0] < scaled(0.3)


# docs/decisions.md, "A check that may be dear runs in a process that can be killed".
CHOICES: ReplyFormat = {"items": {"anyOf": [{"const": number} for number in range(300)]}}
COUNTED: ReplyFormat = {"pattern": "^((a{1,50}){1,50}){1,10}$"}
LOOKS_AGAIN: ReplyFormat = {"type": "object"}
for _ in range(5):
    LOOKS_AGAIN = {"anyOf": [LOOKS_AGAIN, {}], "unevaluatedProperties": {"type": "integer"}}
DEAR: dict[str, tuple[ReplyFormat, str]] = {
    "a choice for each of many": (CHOICES, orjson.dumps([*range(1000, 2500)]).decode()),
    "a choice of a choice": ({"anyOf": [CHOICES]}, orjson.dumps([*range(1000, 3000)]).decode()),
    "counted repetitions": (COUNTED, orjson.dumps("a" * 19_000 + "b").decode()),
    "what is looked at again": (
        LOOKS_AGAIN,
        orjson.dumps({str(number): 1.5 for number in range(2000)}).decode(),
    ),
    "brackets": ("json", "[" + "[]," * 80_000),
}


def cost_s(text: str, schema: ReplyFormat) -> tuple[float, Exception | None]:
    """The CPU time that a check takes of the event loop, and what it raised."""
    errors: list[Exception | None] = []

    def check() -> None:
        try:
            parsed_reply(text, schema, done_reason="stop")
        except (FormatMismatchError, FormatTooDearError) as error:
            errors.append(error)
        else:
            errors.append(None)

    # Each check that is too dear costs a child: two of them.
    return cpu_s(check, tries=2), errors[-1]


@pytest.mark.parametrize("case", DEAR)
def test_no_schema_holds_up_the_other_turns(case: str) -> None:
    """What took seconds of the event loop takes them of a process beside it."""
    schema, text = DEAR[case]
    check_format(schema)
    taken_s, error = cost_s(text, schema)
    assert error is not None
    assert taken_s < scaled(0.05)


def test_a_check_stops_at_the_first_error() -> None:
    """All errors of this reply took 6 s to make; that there is one is seen in a millisecond."""
    schema, text = DEAR["a choice for each of many"]
    assert isinstance(cost_s(text, schema)[1], FormatMismatchError)


def test_a_reply_that_is_too_dear_to_check_is_named_and_not_asked_for_again() -> None:
    """The same request would be as dear: five attempts would be five times that."""
    _, error = cost_s(orjson.dumps("a" * 24_000 + "b").decode(), COUNTED)
    assert isinstance(error, FormatTooDearError)
    assert "checking the reply against the schema in format takes too long: it was killed" in str(
        error
    )
    assert not is_retried(error)


def test_a_reply_that_is_too_long_for_a_form_is_not_even_read() -> None:
    """One of the longest is."""
    text = '"' + "x" * (MAX_REPLY_BYTES - 2) + '"'
    assert parsed_reply(text, "json", done_reason="stop").text == text
    _, error = cost_s(text + " ", "json")
    assert isinstance(error, FormatTooDearError)
    assert not is_retried(error)


def test_what_fits_is_checked_in_a_child_as_here() -> None:
    """Also where it is too much to be checked on the event loop."""
    fitting = orjson.dumps([299] * 2000).decode()
    assert not is_quick(CHOICES, [fitting])
    assert parsed_reply(f"Here: {fitting}", CHOICES, done_reason="stop").text == fitting


def test_the_usual_is_checked_without_a_child() -> None:
    """A record of some fields, and a list of a hundred of them."""
    assert is_quick(AGE, ['{"age": 1, "name": "x"}'])
    assert is_quick({"items": AGE}, [orjson.dumps([{"age": 1, "name": "x"}] * 100).decode()])


def test_the_work_on_the_event_loop_has_a_bound_of_its_own() -> None:
    """The dearest that is still checked there."""
    weight = 300
    schema: ReplyFormat = {"items": {"enum": [*range(weight)]}}
    text = orjson.dumps([weight - 1] * (MAX_WORK_HERE // weight // 5)).decode()
    assert is_quick(schema, [text])
    assert cost_s(text, schema)[0] < scaled(0.05)


def test_patterns_do_not_multiply() -> None:
    """Each is small enough to be made; so are all of them together."""
    many: ReplyFormat = {"anyOf": [{"pattern": f"^a{{{number + 200}}}$"} for number in range(500)]}
    for schema in (
        many,
        {"pattern": "^((a{1,50}){1,50}){1,50}$"},
        {"patternProperties": {"(a{9}){9999}b": {}, "(b{9}){9999}c": {}}},
    ):
        with pytest.raises(InvalidJob, match="patterns of over 100000 states"):
            check_format(schema)
    check_format({"pattern": "^a{9999}$"})


def test_a_pattern_has_a_length() -> None:
    """A long one takes its time to be read, though nothing in it is repeated."""
    check_format({"pattern": "a" * MAX_PATTERN_CHARS})
    with pytest.raises(InvalidJob, match="a pattern of over 4096 characters"):
        check_format({"patternProperties": {"a" * (MAX_PATTERN_CHARS + 1): {}}})


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"items": {"anyOf": [{}] * 9000}}},
        {"anyOf": [{"pattern": "^a$"}] * 1700},
        {"enum": [*range(6000)]},
        {"anyOf": [{"pattern": r"\d" * 1000}] * 2},
    ],
)
def test_any_schema_is_looked_at_quickly(schema: ReplyFormat) -> None:
    """By a producer, and by a worker that has other turns."""
    assert looked_at_s(schema) < scaled(0.05)


def test_the_place_of_a_misfit_is_short_and_printable() -> None:
    """It goes into the log: a name in a schema is a stranger's, too."""
    schema: ReplyFormat = {"properties": {"a\nERROR b" + "c" * 5000: {"type": "null"}}}
    text = orjson.dumps({"a\nERROR b" + "c" * 5000: 1}).decode()
    with pytest.raises(FormatMismatchError) as caught:
        parsed_reply(text, schema, done_reason="stop")
    assert "/properties/text of 5009 characters/type" in str(caught.value)
    assert len(str(caught.value)) < 300

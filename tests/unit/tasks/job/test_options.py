"""ChatOptions, which a producer's type checker sees, beside ChatJob, which checks what was sent."""

import ast
import inspect
import itertools
from collections.abc import Iterator, Mapping
from typing import get_args, get_type_hints

import pytest
from pydantic import TypeAdapter

from memory import OnBusy
from tasks import ChatArguments, ChatOptions
from tasks.job import options
from tasks.job.job import ChatJob
from tasks.job.options import OnBusyName

BOUNDS = {
    "$defs", "default", "description", "title",
    "exclusiveMinimum", "minimum", "maximum", "minLength", "maxLength", "maxItems", "pattern",
}  # fmt: skip
"""What a JSON Schema says besides the type."""


def types_of(fields: Mapping[str, object]) -> Mapping[str, frozenset[str]]:
    """What each field may be, without bounds and defaults."""
    schemas = {name: TypeAdapter(kind).json_schema() for name, kind in fields.items()}
    return {
        name: frozenset(kinds(schema, schema.get("$defs", {}))) for name, schema in schemas.items()
    }


def kinds(schema: Mapping[str, object], shared: Mapping[str, object]) -> Iterator[str]:
    """The simple types that a schema allows, each as text; of texts with names, each name."""
    if "$ref" in schema:
        schema = shared[str(schema["$ref"]).rpartition("/")[2]]
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from kinds(one, shared)
    elif "const" in schema or "enum" in schema:
        yield from schema.get("enum", [schema.get("const")])
    else:
        yield repr({name: told(value) for name, value in schema.items() if name not in BOUNDS})


def told(value: object) -> object:
    """A part of a schema without bounds."""
    if isinstance(value, Mapping):
        return {name: told(part) for name, part in value.items() if name not in BOUNDS}
    return value


def test_the_options_are_those_that_a_job_is_checked_for() -> None:
    """Same names, same types: neither gets an option that the other does not know."""
    promised = types_of(get_type_hints(ChatArguments))
    checked = types_of({name: field.annotation for name, field in ChatJob.model_fields.items()})
    assert promised == checked
    assert promised.keys() - ChatOptions.__optional_keys__ == {"agent_id", "session_id", "message"}


def test_only_what_has_no_default_must_be_given() -> None:
    """Agent, session and message."""
    required = {name for name, field in ChatJob.model_fields.items() if field.is_required()}
    assert ChatArguments.__required_keys__ == required
    assert ChatOptions.__required_keys__ == frozenset()


def test_on_busy_may_be_given_by_each_of_its_names() -> None:
    """A producer need not import the enum; its values are spelled out for the type checker."""
    assert set(get_args(OnBusyName)) == {way.value for way in OnBusy}


def test_each_option_is_described() -> None:
    """In the text below it, where editors look for it."""
    module = ast.parse(inspect.getsource(options))
    (body,) = (
        node.body
        for node in module.body
        if isinstance(node, ast.ClassDef) and node.name == "ChatOptions"
    )
    described = {
        before.target.id
        for before, after in itertools.pairwise(body)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }
    assert described == ChatOptions.__optional_keys__


@pytest.mark.parametrize(
    "given",
    [
        {"images": ["aGk="], "think": True, "on_busy": OnBusy.MERGE},
        {"format": {"type": "object"}, "think": "high", "on_busy": "merge"},
        {"format": "json", "metadata": {"user_id": 7, "tags": ["a"]}, "tools": None},
        {name: None for name in ChatOptions.__optional_keys__ - {"on_busy"}},
    ],
)
def test_what_the_type_allows_is_a_job(given: dict[str, object]) -> None:
    """Also None, which means the same as leaving an option out."""
    named = {"agent_id": "energy", "session_id": "s", "message": "hello"}
    job = ChatJob.checked({**named, **given}, max_message_bytes=100)
    left_out = {name: value for name, value in given.items() if value is not None}
    assert job == ChatJob.checked({**named, **left_out}, max_message_bytes=100)

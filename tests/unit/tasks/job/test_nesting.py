"""How deep JSON is nested, told before anything that recurses sees it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.job.weights.nesting import MAX_PARTS, is_json_nested_deeper, shape_fault
from tests.support.machine import cpu_s, scaled

LEVELS = 5

json_values = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('ab"\\[]{}', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\[{'), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(json_values)
def test_text_and_value_are_judged_alike(value: object) -> None:
    """Brackets, quotes and backslashes inside a text count for nothing."""
    for levels in range(LEVELS):
        deep = shape_fault(value, levels) is not None
        assert is_json_nested_deeper(orjson.dumps(value), levels) is deep


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_the_limit_holds_to_the_level(brackets: str) -> None:
    """As many levels as are allowed, and one more."""
    opening = "[" if brackets == "[]" else '{"a":'
    for levels, deep in ((LEVELS, False), (LEVELS + 1, True)):
        text = opening * (levels - 1) + brackets + brackets[1] * (levels - 1)
        assert is_json_nested_deeper(text.encode(), LEVELS) is deep
        assert (shape_fault(orjson.loads(text), LEVELS) is not None) is deep


def test_a_value_that_contains_itself_is_deep() -> None:
    """So is one whose parts multiply, or are too many: none is walked to its end."""
    endless: list[object] = []
    endless.append(endless)
    many: list[object] = []
    for _ in range(40):
        many = [many, many]
    assert shape_fault(endless, LEVELS) == "is nested deeper than 5 levels"
    assert shape_fault([[None] * 400] * 400, LEVELS) == "has more than 100000 parts", "only wide"
    assert shape_fault(many, 64) == "has more than 100000 parts"


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 3_000_000,
        b"{}," * 1_000_000,
        b"[" * 99 + b'"a",' * 700_000,
        b"[" * 99 + b'"' + b'\\"' * 1_400_000,
    ],
    ids=["deep", "of many objects", "of many texts", "a text without an end"],
)
def test_a_large_text_costs_little(text: bytes) -> None:
    """It is looked at on the thread that takes all messages."""
    assert is_json_nested_deeper(text, 64)
    assert cpu_s(lambda: is_json_nested_deeper(text, 64)) < scaled(0.5)


def test_so_many_parts_are_too_many() -> None:
    """Flat or not: a parser makes an object of each."""
    assert not is_json_nested_deeper(b"[" + b"{}," * 1000 + b"{}]", 64)
    assert is_json_nested_deeper(b"[" + b"{}," * MAX_PARTS + b"{}]", 64)

"""What lies in Redis is JSON that comes back exactly as it went in, or it is refused."""

import math
from collections import OrderedDict
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory import CorruptData, InvalidInput, decode_messages, encode_message
from memory.records.codec import decode_value, encode_mapping, encode_value

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
)
JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=6
)
LIMIT = 1_000_000


@given(JSON)
def test_every_json_value_comes_back_unchanged(value: object) -> None:
    """Type by type: 1 stays an int and 1.0 a float."""
    decoded = decode_value(encode_value(value, LIMIT, what="value"), what="value")

    assert decoded == value
    assert repr(decoded) == repr(value)


@given(
    st.dictionaries(_TEXT, JSON, max_size=3),
    st.sampled_from(["system", "user", "assistant", "tool"]),
)
def test_every_message_comes_back_unchanged(fields: dict[str, object], role: str) -> None:
    """Whatever else it holds."""
    message = fields | {"role": role, "content": "text"}

    decoded = decode_messages([encode_message(message, LIMIT)])

    assert decoded.messages == [message]
    assert decoded.corrupt == 0


_CIRCLE: list[object] = []
_CIRCLE.append(_CIRCLE)
UNFAITHFUL = {
    "NaN": math.nan,
    "infinity": math.inf,
    "tuple": (1, 2),
    "nested tuple": {"a": [(1,)]},
    "int as key": {1: 2},
    "set": {1},
    "bytes": b"x",
    "date": datetime.now(UTC),
    "uuid": uuid4(),
    "object": object(),
    "int beyond 64 bits": 2**64,
    "negative int beyond 64 bits": -(2**63) - 1,
    "lone surrogate": "\ud800",
    "lone surrogate as key": {"\udfff": 1},
    "circle": _CIRCLE,
}


@pytest.mark.parametrize("value", UNFAITHFUL.values(), ids=UNFAITHFUL.keys())
def test_what_json_would_change_is_refused(value: object) -> None:
    """Rather an error than another value."""
    with pytest.raises(InvalidInput):
        encode_value(value, LIMIT, what="value")


def test_the_size_is_counted_in_bytes_of_json() -> None:
    """At the limit yes, one over no."""
    assert encode_value("é" * 10, 22, what="value")
    with pytest.raises(InvalidInput, match="22 bytes"):
        encode_value("é" * 10, 21, what="value")


def test_an_error_does_not_repeat_the_value() -> None:
    """Errors are logged; people's words are not."""
    with pytest.raises(InvalidInput) as caught:
        encode_message({"role": "secret", "content": "secret"}, LIMIT)
    assert "secret" not in str(caught.value)
    with pytest.raises(InvalidInput) as caught:
        encode_message({"role": "user", "content": "secret", "x": math.nan}, LIMIT)
    assert "secret" not in str(caught.value)


def test_any_mapping_is_a_message() -> None:
    """A mapping that is no dict is stored as its items."""
    message = {"role": "user", "content": "x"}

    for mapping in (MappingProxyType(message), OrderedDict(message)):
        assert decode_messages([encode_message(mapping, LIMIT)]).messages == [message]
    assert encode_mapping(MappingProxyType({"a": 1}), LIMIT, what="state") == b'{"a":1}'


@given(st.lists(st.binary()))
def test_no_bytes_break_a_history(raw: list[bytes]) -> None:
    """Anything is a message or counted as corrupt."""
    good = encode_message({"role": "user", "content": "x"}, LIMIT)

    decoded = decode_messages([*raw, good])

    assert len(decoded.messages) + decoded.corrupt == len(raw) + 1
    assert decoded.messages[-1] == {"role": "user", "content": "x"}


def test_a_value_that_is_no_json_is_corrupt() -> None:
    """It is named, not shown."""
    with pytest.raises(CorruptData, match="the key"):
        decode_value(b"{", what="the key")


def test_what_is_no_json_is_not_in_the_error() -> None:
    """Nor in its cause, which a traceback shows and tools collect."""
    with pytest.raises(CorruptData) as caught:
        decode_value(b"the words of somebody", what="key")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__

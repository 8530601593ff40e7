"""The NDJSON decoder: bytes in, objects out."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.errors import InvalidReplyError, ResponseTooLargeError
from llm.wire.ndjson import NDJSONDecoder

MIB = 1024 * 1024

json_objects = st.dictionaries(
    st.text(max_size=8), st.one_of(st.text(max_size=30), st.integers(-9, 9), st.none()), max_size=4
)


def decoded(chunks: list[bytes]) -> list[dict[str, object]]:
    decoder = NDJSONDecoder(max_bytes=MIB)
    records = [record for chunk in chunks for record in decoder.feed(chunk)]
    return records + decoder.finish()


@given(st.lists(json_objects, max_size=6), st.booleans(), st.data())
def test_any_split_of_the_bytes_gives_the_same_records(
    records: list[dict[str, object]], ends_with_newline: bool, data: st.DataObject
) -> None:
    """Networks cut anywhere, also inside a character: that never shows."""
    body = b"\n".join(orjson.dumps(record) for record in records)
    if ends_with_newline:
        body += b"\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    edges = [0, *cuts, len(body)]
    chunks = [body[start:end] for start, end in pairwise(edges)]
    assert decoded(chunks) == records


@pytest.mark.parametrize("char", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c"])
def test_only_a_newline_ends_a_line(char: str) -> None:
    """Characters that `str.splitlines` takes for line ends stay inside the text."""
    record = {"content": f"before{char}after"}
    raw = orjson.dumps(record) + b"\n"
    assert decoded([raw]) == [record]


def test_a_raw_next_line_character_is_really_in_the_bytes() -> None:
    """The test above would prove nothing if the encoder escaped U+0085."""
    assert "\x85".encode() in orjson.dumps({"content": "\x85"})


def test_blank_lines_are_skipped() -> None:
    """A blank line is no record and no error."""
    assert decoded([b'\n{"a":1}\n\n', b' \r\n{"b":2}\r\n']) == [{"a": 1}, {"b": 2}]


def test_a_body_without_a_last_newline_is_read_at_its_end() -> None:
    """Ollama's single JSON bodies end without a newline."""
    decoder = NDJSONDecoder(max_bytes=MIB)
    assert decoder.feed(b'{"done":true}') == []
    assert decoder.finish() == [{"done": True}]


@pytest.mark.parametrize("body", [b"no json\n", b'{"a":\n', b"\xff\xfe\n", b"[1]\n", b'"x"\n'])
def test_a_line_that_is_no_object_is_an_invalid_reply(body: bytes) -> None:
    """Whatever else listens there is not taken for Ollama."""
    with pytest.raises(InvalidReplyError):
        decoded([body])


def test_an_invalid_line_is_not_quoted() -> None:
    """A broken line may be part of a reply: neither message nor cause repeats it."""
    with pytest.raises(InvalidReplyError) as caught:
        decoded([b"CANARY\n"])
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_reply_may_be_as_long_as_its_limit_and_not_one_byte_longer() -> None:
    """The limit is in bytes of the whole reply."""
    line = b'{"a":1}\n'
    exact = NDJSONDecoder(max_bytes=2 * len(line))
    assert len(exact.feed(line)) + len(exact.feed(line)) == 2
    with pytest.raises(ResponseTooLargeError) as caught:
        exact.feed(b" ")
    assert f"{2 * len(line)} bytes" in str(caught.value)


@pytest.mark.parametrize("step", [1, 5, 100])
def test_a_line_may_be_as_long_as_its_limit_and_not_one_byte_longer(step: int) -> None:
    """A line that never ends is given up at the limit, however it comes in."""
    line = b'{"a":"' + b"x" * 92 + b'"}'

    def fed(max_line_bytes: int) -> list[dict[str, object]]:
        decoder = NDJSONDecoder(max_bytes=MIB, max_line_bytes=max_line_bytes)
        body = line + b"\n"
        return [
            record
            for start in range(0, len(body), step)
            for record in decoder.feed(body[start : start + step])
        ]

    assert len(fed(len(line))) == 1
    with pytest.raises(ResponseTooLargeError):
        fed(len(line) - 1)

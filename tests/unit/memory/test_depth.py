"""JSON that is nested too deeply is refused at each door of the memory, and never recursed into."""

import json
from collections.abc import Mapping

import orjson
import pytest

from memory import InvalidInput
from memory.records.codec import decode_messages, encode_value
from memory.records.limits import encoded_history
from memory.upkeep import transfer_file

DEPTHS = (300, 1500, 100_000)
LIMIT = 1_000_000


def nested(depth: int) -> object:
    """An object in an object, so often."""
    inner: object = 1
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def text(depth: int) -> str:
    """The same as JSON."""
    return '{"a":' * depth + "1" + "}" * depth


def messages(inner: object, as_text: str) -> Mapping[str, Mapping[str, object]]:
    """A message with that in each place where something may be."""
    call = {"function": {"name": "f", "arguments": inner}}
    return {
        "a field of its own": {"role": "user", "content": "x", "more": inner},
        "a content": {"role": "user", "content": inner},
        "a part of a content": {"role": "user", "content": [{"type": "text", "text": inner}]},
        "an address of an image": {
            "role": "user",
            "content": [{"type": "image_url", "image_url": inner}],
        },
        "an image": {"role": "user", "content": "x", "images": [inner]},
        "a call": {"role": "assistant", "content": "", "tool_calls": [call]},
        "arguments as text": {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": as_text}}],
        },
        "a call of LangChain's": {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"name": "f", "args": inner, "id": "1"}],
        },
    }


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("place", messages(1, "1"))
def test_a_deep_message_is_refused(place: str, depth: int) -> None:
    """`save_conversation_history` and `append_to_history` say so in a short line."""
    message = messages(nested(depth), text(depth))[place]
    with pytest.raises(InvalidInput) as refused:
        encoded_history([message], most=9, max_bytes=LIMIT, most_bytes=LIMIT)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_deep_value_is_refused(depth: int) -> None:
    """An agent's state and the data of a session."""
    with pytest.raises(InvalidInput):
        encode_value(nested(depth), LIMIT, what="value")


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_deep_element_of_a_history_is_set_aside(depth: int) -> None:
    """Another program may have written it."""
    element = f'{{"role":"user","content":"x","more":{text(depth)}}}'.encode()
    assert decode_messages([element]).corrupt == 1


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "line",
    [
        '{"kind":"data","key":"k","ttl_s":5,"value":%s}',
        '{"kind":"message","message":{"role":"user","content":"x","more":%s}}',
        '{"kind":"dead_letter","jobs":[%s]',
        "%s",
    ],
)
def test_a_deep_line_is_not_imported(line: str, depth: int) -> None:
    """The number of the line is named, and nothing is written."""
    head = orjson.dumps(
        {
            "kind": transfer_file.HEADER,
            "version": transfer_file.VERSION,
            "agent_id": "a",
            "session_id": "s",
            "ttl_s": 5,
        }
    )
    lines = [head, (line % text(depth)).encode(), json.dumps({"kind": "end", "lines": 3}).encode()]
    with pytest.raises(InvalidInput, match="line 2"):
        transfer_file.read(lines, most_messages=9, max_bytes=LIMIT)

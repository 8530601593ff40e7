"""What clients say, as messages of a history."""

import pytest
from pydantic import JsonValue

from gateway.errors import ApiError
from gateway.history_items import as_items, without_item
from gateway.messages import said

PIXEL = "iVBORw0KGgo="


def test_the_last_user_message_is_the_one_to_answer() -> None:
    """All others come before it; a developer's message is a system's."""
    told = said([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "1"}]},
        {"type": "reasoning", "summary": []},
        {"role": "user", "content": [
            {"type": "input_text", "text": "And this?"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
        ]},
    ], param="input")  # fmt: skip
    assert (told.text, told.images) == ("And this?", [PIXEL])
    assert told.preceding == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": ""},
        {"role": "robot", "content": "1"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "[]"},
        {"type": "function_call_output", "call_id": "", "output": "2"},
        {"type": "function_call_output", "call_id": "1" * 65, "output": "2"},
        {"type": "function_call_output", "call_id": "1", "output": {"mw": 2}},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]},
        {"role": "tool", "content": "2"},
        {"role": "user", "content": [{"type": "input_file", "file_id": "1"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "http://a/b.png"}]},
        {"role": "user", "content": 7},
    ],
)
def test_what_no_model_could_be_shown_is_refused(item: dict[str, JsonValue]) -> None:
    """With 400, and the parameter that is wrong."""
    with pytest.raises(ApiError) as refused:
        said([item], param="input")
    assert refused.value.status == 400
    assert refused.value.param is not None


CALLED: list[dict[str, JsonValue]] = [
    {"role": "user", "content": "How much?"},
    {"type": "message", "role": "assistant", "content": "I look it up."},
    {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x": 1}'},
    {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "b", "output": "2"},
    {"type": "function_call_output", "call_id": "a", "output": [
        {"type": "input_text", "text": "1"},
    ]},
]  # fmt: skip
IN_CHAT: list[dict[str, JsonValue]] = [
    {"role": "user", "content": "How much?"},
    {"role": "assistant", "content": "I look it up.", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]},
    {"role": "tool", "tool_call_id": "b", "content": "2"},
    {"role": "tool", "tool_call_id": "a", "content": "1"},
]  # fmt: skip


@pytest.mark.parametrize("items", [CALLED, IN_CHAT])
def test_results_of_functions_ask_nothing(items: list[dict[str, JsonValue]]) -> None:
    """The model goes on from them; calls in a row are those of one answer."""
    told = said(items, param="input")
    assert (told.text, told.answered) == ("", [])
    assert told.preceding == [
        {"role": "user", "content": "How much?"},
        {"role": "assistant", "content": "I look it up.", "tool_calls": [
            {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}},
            {"id": "b", "function": {"name": "g", "arguments": {}}},
        ]},
        {"role": "tool", "content": "2", "tool_call_id": "b"},
        {"role": "tool", "content": "1", "tool_call_id": "a"},
    ]  # fmt: skip


def test_results_of_calls_that_a_request_has_not_are_named() -> None:
    """Their calls must be in the session. A message behind them is what is to be answered, and a
    note of the system stands before them."""
    told = said([*CALLED[4:], {"role": "user", "content": "And?"}], param="input")
    assert (told.text, told.answered) == ("And?", ["b", "a"])
    noted = said([*CALLED[4:], {"role": "system", "content": "Hurry."}], param="input")
    assert [one["role"] for one in noted.preceding] == ["system", "tool", "tool"]


def test_items_have_what_messages_have() -> None:
    """Text and images; what an agent's tools did is no item."""
    (item,) = as_items({"role": "user", "content": "See", "images": [PIXEL]}, "msg_1")
    content = item["content"]
    assert isinstance(content, list)
    assert content[1]["image_url"] == f"data:image/png;base64,{PIXEL}"
    assert as_items({"role": "tool", "content": "3", "job_id": "1"}, "msg_1") == []
    assert len(as_items({"role": "assistant", "tool_calls": []}, "msg_1")) == 1


def test_calls_of_functions_are_items_and_each_can_be_taken_away() -> None:
    """What was said with them is one of its own; of the last nothing is left."""
    message = said(CALLED, param="input").preceding[1]
    ids = [item["id"] for item in as_items(message, "msg_1")]
    assert ids == ["msg_1", "fc_a", "fc_b"]
    left = without_item(message, "msg_1", "fc_a")
    assert left is not None
    assert [item["id"] for item in as_items(left, "msg_1")] == ["msg_1", "fc_b"]
    left = without_item(left, "msg_1", "msg_1")
    assert left is not None
    assert [item["id"] for item in as_items(left, "msg_1")] == ["fc_b"]
    assert without_item(left, "msg_1", "fc_b") is None

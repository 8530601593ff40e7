"""What clients say, as messages of a history."""

import pytest
from pydantic import JsonValue

from gateway.errors import ApiError
from gateway.messages import as_item, said

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
        {"type": "function_call_output", "call_id": "1", "output": "2"},
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


def test_items_have_what_messages_have() -> None:
    """Text and images; what tools did is no item."""
    item = as_item({"role": "user", "content": "See", "images": [PIXEL]}, "msg_1")
    assert item is not None
    content = item["content"]
    assert isinstance(content, list)
    assert content[1]["image_url"] == f"data:image/png;base64,{PIXEL}"
    assert as_item({"role": "tool", "content": "3"}, "msg_1") is None
    assert as_item({"role": "assistant", "tool_calls": []}, "msg_1") is not None

"""Replies that say nothing, and what is asked once more."""

from dataclasses import replace

import pytest

from agents.empty_reply import Emptiness, again, emptiness_of
from llm import ChatRequest, Final, ModelReply, ToolCall

ASKED = ChatRequest(model="m", messages=({"role": "user", "content": "hi"},))


def reply(text: str = "", thinking: str = "", done_reason: str = "stop") -> ModelReply:
    """What the model has said."""
    return ModelReply(text, Final(model="m", done_reason=done_reason), thinking=thinking)


@pytest.mark.parametrize(
    ("said", "emptiness"),
    [
        (reply("hi"), None),
        (reply(), Emptiness.BLANK),
        (reply(" \n\t"), Emptiness.BLANK),
        (reply(" ", "hm"), Emptiness.THINKING),
        (reply("hi", "hm"), None),
        (ModelReply("", Final(), tool_calls=(ToolCall("f"),)), None),
    ],
)
def test_a_reply_without_an_answer_is_told_from_one(
    said: ModelReply, emptiness: Emptiness | None
) -> None:
    """A call of a tool is one."""
    assert emptiness_of(said) == emptiness


def test_it_is_asked_for_once_more_where_that_may_help() -> None:
    """Without thinking after thoughts; as it was, where chance is in it and there is room."""
    calm = ChatRequest(model="m", messages=ASKED.messages, temperature=0)
    assert again(ASKED, reply("hi")) is None
    assert again(ASKED, reply()) == ASKED
    assert again(calm, reply()) is None
    assert again(ASKED, reply(done_reason="length")) is None
    for request in (ASKED, calm):
        thought = again(request, reply(thinking="hm", done_reason="length"))
        assert thought == request.without_thinking()
        assert again(thought, reply(thinking="hm")) is None


def test_with_a_format_it_is_a_misfit_and_no_second_question() -> None:
    """But for a model that was wanted to think, and did nothing else."""
    formed = replace(ASKED, format="json")
    assert again(formed, reply()) is None
    assert again(formed, reply(thinking="hm")) is None
    thinking = replace(formed, think="high")
    assert again(thinking, reply(thinking="hm")) == formed.without_thinking()

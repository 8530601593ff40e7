"""What a model writes in a form that its server does not know: arguments as text, think tags."""

from dataclasses import replace

import pytest

from llm import Delta, ToolCall
from llm.wire.records import delta_of, joined
from llm.wire.think_tags import ThinkTags
from tests.support.machine import cpu_s, scaled
from tests.unit.llm.test_reply import ASK, DONE, read, record


@pytest.mark.parametrize(
    ("given", "arguments", "is_readable"),
    [
        ({"a": 1}, {"a": 1}, True),
        ('{"a": 1}', {"a": 1}, True),
        ("", {}, True),
        (None, {}, True),
        ("{a: 1}", {}, False),
        ("[1]", {}, False),
        ([1], {}, False),
        (7, {}, False),
    ],
)
def test_arguments_of_a_call_are_read_or_marked_as_unreadable(
    given: object, arguments: dict[str, object], is_readable: bool
) -> None:
    """As an object, or as its JSON; nothing else is taken for no arguments."""
    call = {"function": {"name": "f", "arguments": given}}
    delta = delta_of(record("", tool_calls=[call]))
    assert delta.tool_calls == (ToolCall("f", arguments, is_readable=is_readable),)


THOUGHT = "<think>Let me <b>see</b>.</think>\n\nIt is 5 < 6.</think>"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_thoughts_between_tags_are_thinking_where_the_setting_says_so(size: int) -> None:
    """However the pieces are cut; else they are text."""
    pieces = [record(THOUGHT[at : at + size]) for at in range(0, len(THOUGHT), size)]
    seen = read(*pieces, DONE, request=replace(ASK, reads_think_tags=True))
    reply = joined(seen)
    assert (reply.thinking, reply.text) == ("Let me <b>see</b>.", "It is 5 < 6.</think>")
    assert joined(read(*pieces, DONE)).text == THOUGHT


@pytest.mark.parametrize(
    ("text", "thinking", "said"),
    [
        ("<thin", "", "<thin"),
        (" \n<think>never ends</thi", "never ends</thi", ""),
        ("<thinker> I am", "", "<thinker> I am"),
        ("Say <think>so</think>", "", "Say <think>so</think>"),
        ("", "", ""),
    ],
)
def test_tags_that_are_not_whole_or_not_first_lose_nothing(
    text: str, thinking: str, said: str
) -> None:
    """What was held back comes at the end."""
    pieces = [record(char) for char in text]
    reply = joined(read(*pieces, DONE, request=replace(ASK, reads_think_tags=True)))
    assert (reply.thinking, reply.text) == (thinking, said)


def test_much_white_space_before_a_reply_is_held_cheaply() -> None:
    """It may come before a mark; joined to each piece it would take time with its square."""
    pieces = 20_000

    def reader_of_spaces() -> ThinkTags:
        tags = ThinkTags()
        assert not any(tags.read(Delta(text=" " * 60)) for _ in range(pieces))
        return tags

    assert cpu_s(reader_of_spaces) < scaled(0.3)
    tags = reader_of_spaces()
    assert tags.read(Delta(text="Yes")).text == " " * 60 * pieces + "Yes"

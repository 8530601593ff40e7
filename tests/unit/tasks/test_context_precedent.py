"""What a session's record tells of its last prompt."""

import pytest

from llm import Precedent
from tasks.turn.context import precedent_of

Messages = list[dict[str, object]]


def turn(shown: object, counted: object = 100, **more: object) -> Messages:
    """A committed turn whose prompt showed so many earlier messages."""
    receipt = {"prompt_tokens": counted, "truncated": False}
    reply = {"role": "assistant", "model": "m", "history_messages": shown, "receipt": receipt}
    return [{"role": "user", "content": "q"}, {**reply, **more}]


def test_the_last_reply_tells_where_its_prompt_began_and_ended() -> None:
    """Counted back from its question; what was counted for it too."""
    assert precedent_of([*turn(0), *turn(2), *turn(2, 300)], "m") == Precedent(2, 5, 300)


def test_tool_calls_between_question_and_reply_belong_to_the_prompt() -> None:
    """They were shown to the call that gave the reply."""
    question, reply = turn(2)
    tools = [{"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "42"}]
    assert precedent_of([*turn(0), question, *tools, reply], "m") == Precedent(0, 5, 100)


def test_a_history_that_lost_its_front_has_a_prompt_that_began_before_it() -> None:
    """The first index is then negative."""
    assert precedent_of(turn(6), "m") == Precedent(-6, 1, 100)


def test_a_turn_without_record_is_passed_over() -> None:
    """A cancelled one, or one that another program has written."""
    cancelled = [{"role": "user", "content": "q", "cancelled": True}]
    other = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert precedent_of([*turn(0), *cancelled, *other], "m") == Precedent(0, 1, 100)


@pytest.mark.parametrize(
    "reply",
    [
        {"model": "other"},
        {"receipt": {"prompt_tokens": None, "truncated": False}},
        {"receipt": "?"},
        {"receipt": None},
    ],
)
def test_a_count_that_does_not_hold_for_the_model_is_left_out(reply: dict[str, object]) -> None:
    """Another model's, or none."""
    assert precedent_of(turn(0, **reply), "m") == Precedent(0, 1, 0)


def test_a_count_holds_for_the_model_under_all_its_names() -> None:
    """Also where the reply ran past the window: its prompt did not."""
    receipt = {"prompt_tokens": 100, "truncated": True}
    past = turn(0, model="Library/M:latest", receipt=receipt)
    assert precedent_of(past, "m") == Precedent(0, 1, 100)


@pytest.mark.parametrize(
    "history",
    [[], [{"role": "user"}], [{"role": "assistant", "history_messages": 2}], turn("2"), turn(-1)],
)
def test_without_a_record_there_is_no_precedent(history: Messages) -> None:
    """Nor from one that makes no sense."""
    assert precedent_of(history, "m") is None

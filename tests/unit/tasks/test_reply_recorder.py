"""What an attempt has cost so far, whenever it ends: told by the server, or else estimated."""

from typing import cast

import pytest

from llm import Delta, Final
from tasks.process.live_events import AttemptEvents
from tasks.process.turns_now import TurnNow
from tasks.turn.reply_recorder import ReplyRecorder


class NoEvents:
    """Followers are not told."""

    def emit(self, *_: object) -> None:
        """Nobody follows."""


@pytest.fixture
def recorder() -> ReplyRecorder:
    """Of an attempt that has called nothing yet."""
    return ReplyRecorder(cast(AttemptEvents, NoEvents()), TurnNow("agent", "session", "job"))


def hear(recorder: ReplyRecorder, prompt_tokens: int, pieces: int) -> None:
    """A call that has said so much."""
    recorder.on_prompt(prompt_tokens)
    if pieces:
        recorder.on_said(Delta("x" * pieces), pieces)


def test_a_whole_reply_costs_what_its_server_says(recorder: ReplyRecorder) -> None:
    """Of each call of the turn."""
    for _ in range(2):
        hear(recorder, 100, 5)
        recorder.on_answer(Final(model="m", prompt_tokens=90, completion_tokens=7))
    assert recorder.spent.tokens == 2 * 97


def test_a_reply_that_breaks_off_costs_its_prompt_and_its_pieces(recorder: ReplyRecorder) -> None:
    """Also where another call of the same attempt follows."""
    hear(recorder, 100, 5)
    assert recorder.spent.tokens == 105
    hear(recorder, 200, 1)
    assert recorder.spent.tokens == 105 + 201


def test_a_call_that_has_said_nothing_costs_nothing(recorder: ReplyRecorder) -> None:
    """Nobody knows whether its prompt was read."""
    hear(recorder, 100, 0)
    assert recorder.spent.tokens == 0

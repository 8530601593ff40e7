"""What an attempt adds to the counts of all turns, and what is seen of it while it runs."""

from collections import Counter

from tasks.attempt.turn_counts import counts_of
from tasks.attempt.verdict import Answered, Cancelled, Ended, Later, NotNow, Refused
from tasks.errors import JobFailed
from tasks.job.result import ChatResult, Timings
from tasks.process.turns_now import TurnNow, TurnsNow

TIMINGS = Timings(
    queue_wait_ms=15.0,
    first_token_ms=100.0,
    model_ms=900.0,
    load_ms=None,
    slot_wait_ms=None,
    prompt_eval_ms=None,
    eval_ms=500.0,
    tokens_per_s=40.0,
)


def test_an_answer_counts_with_its_times() -> None:
    """Tokens only with the time in which they were written."""
    result: ChatResult = {"timings": TIMINGS}  # type: ignore[typeddict-item]  # no more is looked at
    timed = {"done": 1, "wait:2": 1, "first:5": 1}
    assert counts_of(Answered(result)) == Counter({**timed, "tokens": 20, "eval_ms": 500})
    result["timings"] = {**TIMINGS, "tokens_per_s": None, "first_token_ms": None}
    assert counts_of(Answered(result)) == Counter({"done": 1, "wait:2": 1})


def test_each_end_counts_once_and_waiting_not_at_all() -> None:
    """An attempt that is made again is none of the ends."""
    error = JobFailed("why")
    assert counts_of(Ended(error)) == counts_of(Refused(error)) == Counter(["failed"])
    assert counts_of(Cancelled()) == Counter(["cancelled"])
    assert counts_of(Later(error, 1.0)) == Counter(["retried"])
    assert counts_of(NotNow("waits")) == Counter()


def test_a_turn_is_shown_while_a_model_is_asked() -> None:
    """Not before, and not afterwards; a second attempt's speed is its own."""
    turns, turn = TurnsNow(), TurnNow("agent", "session", "job")
    turns.begin(turn)
    assert turns.running == []
    turn.on_start("model", 1)
    assert (turns.running, turn.tokens_per_s) == ([turn], None)
    turn.on_pieces(1)
    turn.on_pieces(1)
    assert bool(turn.tokens_per_s)
    turn.on_start("model", 2)
    assert (turn.attempt, turn.pieces, turn.tokens_per_s) == (2, 0, None)
    turns.end(turn)
    assert turns.running == []


def test_counts_are_taken_once() -> None:
    """Who cannot write them gives them back."""
    turns = TurnsNow()
    turns.count({"done": 2})
    taken = turns.take_counts()
    assert turns.take_counts() == Counter()
    turns.count(taken)
    assert turns.take_counts() == Counter({"done": 2})

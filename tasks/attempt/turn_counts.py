"""What an attempt adds to the counts of all turns. Pure."""

from collections.abc import Mapping

from memory.records.turn_counts import (
    CANCELLED,
    DONE,
    EVAL_MS,
    FAILED,
    FIRST,
    RETRIED,
    TOKENS,
    WAIT,
    timed,
)
from tasks.attempt.verdict import Answered, Cancelled, Ended, Later, Refused, Verdict
from tasks.job.result import ChatResult


def counts_of(verdict: Verdict) -> Mapping[str, int]:
    """How it has ended, and in what time; nothing where it has only waited."""
    match verdict:
        case Answered():
            return _of_answer(verdict.result)
        case Ended() | Refused():
            return {FAILED: 1}
        case Cancelled():
            return {CANCELLED: 1}
        case Later():
            return {RETRIED: 1}
    return {}


def _of_answer(result: ChatResult) -> Mapping[str, int]:
    timings = result["timings"]
    found = {DONE: 1, timed(WAIT, timings["queue_wait_ms"]): 1}
    if (first_ms := timings["first_token_ms"]) is not None:
        found[timed(FIRST, first_ms)] = 1
    # The speed of a reply is that of its last call; without a time its tokens say nothing.
    speed, eval_ms = timings["tokens_per_s"], timings["eval_ms"]
    if speed and eval_ms:
        found[TOKENS], found[EVAL_MS] = round(speed * eval_ms / 1000), round(eval_ms)
    return found

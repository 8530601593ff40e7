"""How the turns of all workers ended and how long they took, counted in Redis without end.

The counts only grow. So a snapshot of them (`stats`) says together with an earlier one what
happened between both, and one that is taken twice does no harm.

Pure, but for what a command does when it is sent.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from memory.keys import Keyspace
from memory.redis.command import Command
from memory.redis.replies import integer, pairs

DONE, FAILED, CANCELLED, RETRIED = "done", "failed", "cancelled", "retried"
ENDS = (DONE, FAILED, CANCELLED, RETRIED)
TOKENS, EVAL_MS = "tokens", "eval_ms"
WAIT, FIRST = "wait", "first"
"""From sending to the model's call, and from that to its first token."""
BOUNDS_MS: Sequence[int] = (0, *(10 << step for step in range(20)))
"""Between which a time is counted: from 10 ms on each twice the last, to an hour and a half."""
MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Spread:
    """A time that half of the turns took at most, and one that 95 of 100 did, ms."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class TurnsSpan:
    """What happened in `seconds` before `at`. `retried`: attempts that failed and are made again.

    `tokens_per_s` is that of one reply while it is written. None: there was none to measure.
    """

    at: datetime
    seconds: float
    done: int
    failed: int
    cancelled: int
    retried: int
    tokens_per_s: float | None
    wait: Spread | None
    first_token: Spread | None


def timed(what: str, took_ms: float) -> str:
    """The count that a time belongs to."""
    return f"{what}:{min(bisect_left(BOUNDS_MS, took_ms), len(BOUNDS_MS) - 1)}"


def add(keyspace: Keyspace, counts: Mapping[str, int]) -> list[Command[int]]:
    """Add to the counts. Repeated after a lost reply it counts twice, which does little harm."""
    return [
        Command(integer, ("HINCRBY", keyspace.turn_counts, name, number))
        for name, number in counts.items()
    ]


def read(keyspace: Keyspace) -> Command[dict[str, int]]:
    """The counts as they are now; what is none of ours is left out."""

    def parse(reply: object) -> dict[str, int]:
        return {
            name.decode(errors="replace"): int(number)
            for name, number in pairs(reply)
            if number.isdigit() and len(number) <= MOST_DIGITS
        }

    return Command(parse, ("HGETALL", keyspace.turn_counts))


def spans(taken: Sequence[tuple[datetime, Mapping[str, int]]]) -> Iterator[TurnsSpan]:
    """What happened between each two snapshots, which are in their order.

    Where counts have shrunk, Redis was emptied in between: what was counted since is all there is.
    """
    for (since, before), (at, after) in pairwise(taken):
        seconds = (at - since).total_seconds()
        if seconds > 0:
            yield _span(at, seconds, _grown(before, after))


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> Counter[str]:
    is_anew = any(after.get(name, 0) < number for name, number in before.items())
    return Counter(after) if is_anew else Counter(after) - Counter(before)


def _span(at: datetime, seconds: float, grown: Counter[str]) -> TurnsSpan:
    tokens, eval_ms = grown[TOKENS], grown[EVAL_MS]
    return TurnsSpan(
        at=at,
        seconds=seconds,
        done=grown[DONE],
        failed=grown[FAILED],
        cancelled=grown[CANCELLED],
        retried=grown[RETRIED],
        tokens_per_s=round(tokens * 1000 / eval_ms, 1) if tokens and eval_ms else None,
        wait=_spread(grown, WAIT),
        first_token=_spread(grown, FIRST),
    )


def _spread(grown: Counter[str], what: str) -> Spread | None:
    counts = [grown[f"{what}:{at}"] for at in range(len(BOUNDS_MS))]
    if not any(counts):
        return None
    return Spread(_quantile(counts, 0.5), _quantile(counts, 0.95))


def _quantile(counts: Sequence[int], part: float) -> float:
    """A time that this part of all took at most, evenly spread between two bounds."""
    left = part * sum(counts)
    for at, number in enumerate(counts):
        if number and left <= number:
            low = BOUNDS_MS[max(0, at - 1)]
            return round(low + (BOUNDS_MS[at] - low) * left / number, 1)
        left -= number
    return float(BOUNDS_MS[-1])

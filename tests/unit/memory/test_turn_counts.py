"""What counts of turns say: what happened between two snapshots, and how long it took."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.records.turn_counts import BOUNDS_MS, Spread, spans, timed

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: int) -> datetime:
    """A moment."""
    return START + timedelta(minutes=minutes)


def test_a_span_is_what_was_counted_between_two_snapshots() -> None:
    """The speed is that of the replies while they were written."""
    before = {"done": 2, "failed": 1, "tokens": 10, "eval_ms": 1000}
    after = {"done": 5, "failed": 1, "cancelled": 1, "tokens": 70, "eval_ms": 4000, "wait:3": 3}
    (span,) = spans([(at(0), before), (at(1), after)])
    assert (span.at, span.seconds) == (at(1), 60)
    assert (span.done, span.failed, span.cancelled, span.retried) == (3, 0, 1, 0)
    assert span.tokens_per_s == 20
    assert span.wait == Spread(p50_ms=30, p95_ms=39)
    assert span.first_token is None


def test_where_redis_was_emptied_it_counts_anew() -> None:
    """No number is below zero; of the same snapshot twice there is nothing."""
    points = [
        (at(0), {"done": 9}),
        (at(1), {"done": 2}),
        (at(1), {"done": 2}),
        (at(2), {"done": 2}),
    ]
    assert [one.done for one in spans(points)] == [2, 0]


@pytest.mark.parametrize("took_ms", [0, 0.1, 10, 11, 3_600_000, 1e12, float("inf")])
def test_each_time_has_its_place(took_ms: float) -> None:
    """None is lost, however long."""
    place = int(timed("wait", took_ms).partition(":")[2])
    assert 0 <= place < len(BOUNDS_MS)
    assert took_ms <= BOUNDS_MS[place] or place == len(BOUNDS_MS) - 1


@given(st.lists(st.floats(0, 5_000_000), min_size=1, max_size=50))
def test_a_quantile_is_within_its_step(times_ms: list[float]) -> None:
    """Of any times: half of them are not above the step that it lies in."""
    counts = Counter(timed("wait", took) for took in times_ms)
    (span,) = spans([(at(0), {}), (at(1), counts)])
    assert span.wait is not None
    exact = sorted(times_ms)[(len(times_ms) - 1) // 2]
    assert exact / 2 - 10 <= span.wait.p50_ms <= max(10, exact * 2)
    assert span.wait.p50_ms <= span.wait.p95_ms

"""What `griot stats` says of Redis' memory in a week."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.overview.series import MemoryPoint
from worker.cli.charts.week import week_ahead

BEGIN = datetime(2026, 11, 26, 10, tzinfo=UTC)
MIB = 1024 * 1024


def hours(count: int) -> list[MemoryPoint]:
    """A snapshot at each hour: 1 MiB more each, from 100 MiB on."""
    return [
        MemoryPoint(BEGIN + timedelta(hours=n), (100 + n) * MIB, 0, 10, 5) for n in range(count)
    ]


def test_growth_goes_on_for_a_week() -> None:
    """In a straight line from where the last snapshot is."""
    assert week_ahead(hours(11), most_bytes=0).in_a_week_bytes == (110 + 7 * 24) * MIB


@pytest.mark.parametrize(
    ("most_mib", "said"),
    [
        (300, "278.00M of 300.00M: will last"),
        (200, "278.00M of 200.00M: will not last"),
        (0, "278.00M; no limit is set (maxmemory)"),
    ],
)
def test_it_is_held_against_the_limit(most_mib: int, said: str) -> None:
    """The answer, not a number to reckon with."""
    assert week_ahead(hours(11), most_bytes=most_mib * MIB).words == said


def test_what_shrinks_does_not_fall_below_nothing() -> None:
    """A line would."""
    falling = [MemoryPoint(one.at, 200 * MIB - one.used_bytes, 0, 10, 5) for one in hours(11)]
    assert week_ahead(falling, most_bytes=0).in_a_week_bytes == 0


@pytest.mark.parametrize("points", [[], hours(1)])
def test_less_than_an_hour_is_no_forecast(points: list[MemoryPoint]) -> None:
    """One busy minute would be a wrong alarm."""
    ahead = week_ahead(points, most_bytes=MIB)
    assert ahead.in_a_week_bytes is None
    assert ahead.words.startswith("not known before an hour of snapshots")

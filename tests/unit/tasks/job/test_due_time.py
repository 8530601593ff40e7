"""When a job is due: what a sender may write, and what is refused."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tasks.errors import InvalidJob
from tasks.job.due_time import MAX_DELAY_S, not_before_of, unix_time, wait_ms

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        NOON,
        NOON.astimezone(timezone(timedelta(hours=1))),
        NOON.timestamp(),
        int(NOON.timestamp()),
        "2026-11-26T12:00:00Z",
        "2026-11-26T13:00:00+01:00",
    ],
)
def test_one_moment_may_be_said_in_several_ways(given: object) -> None:
    """All of them name a time zone, or need none."""
    assert unix_time(given, what="not_before") == NOON.timestamp()


@pytest.mark.parametrize(
    "given",
    [
        NOON.replace(tzinfo=None),
        "2026-11-26T12:00:00",
        "noon",
        "",
        True,
        float("nan"),
        -1.0,
        10**400,
        [],
        {},
    ],
)
def test_what_is_no_moment_is_refused_with_its_name(given: object) -> None:
    """A time without a zone is another one on each machine."""
    with pytest.raises(ValueError, match="not_before"):
        unix_time(given, what="not_before")


def test_eta_and_countdown_are_celerys_words_for_it() -> None:
    """Not both; a countdown that is over is now."""
    assert not_before_of({}, now_s=100.0) is None
    assert not_before_of({"countdown": 5, "eta": None}, now_s=100.0) == 105.0
    assert not_before_of({"countdown": -5}, now_s=100.0) == 100.0
    assert not_before_of({"eta": NOON}, now_s=100.0) == NOON.timestamp()
    for wrong in (
        {"countdown": 5, "eta": NOON},
        {"eta": NOON.replace(tzinfo=None)},
        {"countdown": "5"},
        {"countdown": float("inf")},
        {"countdown": 10**400},
    ):
        with pytest.raises(InvalidJob):
            not_before_of(wrong, now_s=100.0)


def test_a_wait_is_a_year_at_most() -> None:
    """What is due has none."""
    assert wait_ms(99.0, now_s=100.0) == 0
    assert wait_ms(100.0004, now_s=100.0) == 1
    assert wait_ms(100.0 + MAX_DELAY_S, now_s=100.0) == MAX_DELAY_S * 1000
    with pytest.raises(InvalidJob, match="year"):
        wait_ms(101.0 + MAX_DELAY_S, now_s=100.0)

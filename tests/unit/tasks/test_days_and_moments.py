"""What usage takes for a day and the finder of jobs for a moment: each refuses the other's."""

from datetime import UTC, date, datetime

import pytest

from memory import InvalidInput
from tasks import usage
from tasks.overview.found_jobs import JobQuery

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize("given", [NOON, "2026-11-26", 20_261_126])
def test_usage_is_of_days(given: object) -> None:
    """A moment is a date, too, to a type checker."""
    with pytest.raises(InvalidInput, match="days"):
        usage(since=given)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [NOON.replace(tzinfo=None), date(2026, 11, 26), "2026-11-26"])
def test_jobs_are_of_moments(given: object) -> None:
    """With a time zone."""
    with pytest.raises(InvalidInput, match="time zone"):
        JobQuery(until=given)  # type: ignore[arg-type]
    assert JobQuery(until=NOON).until == NOON

"""What Redis will use in a week, if it goes on as the last day went. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import linear_regression

from memory.records.stats import human_size
from tasks.overview.series import MemoryPoint

WEEK = timedelta(days=7)
LEAST_SPAN = timedelta(hours=1)
"""Of less nothing is said: a week of one busy minute is no forecast."""


@dataclass(frozen=True, slots=True)
class WeekAhead:
    """`in_a_week_bytes` is None while the snapshots span less than an hour; `most_bytes` is 0 where
    Redis has no limit. A dashboard draws the same line."""

    in_a_week_bytes: int | None
    most_bytes: int

    @property
    def words(self) -> str:
        """The answer to "will memory last the week?"."""
        if self.in_a_week_bytes is None:
            return "not known before an hour of snapshots (beat and the maintenance worker)"
        size = human_size(self.in_a_week_bytes)
        if not self.most_bytes:
            return f"{size}; no limit is set (maxmemory)"
        verdict = "will not last" if self.in_a_week_bytes > self.most_bytes else "will last"
        return f"{size} of {human_size(self.most_bytes)}: {verdict}"


def week_ahead(points: Sequence[MemoryPoint], *, most_bytes: int) -> WeekAhead:
    """The straight line through the points, the oldest first, a week after the last."""
    if not points or points[-1].at - points[0].at < LEAST_SPAN:
        return WeekAhead(None, most_bytes)
    last = points[-1].at
    ages = [(one.at - last).total_seconds() for one in points]
    slope, now = linear_regression(ages, [one.used_bytes for one in points])
    return WeekAhead(max(0, round(now + slope * WEEK.total_seconds())), most_bytes)

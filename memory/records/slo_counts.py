"""How many jobs of an agent kept a promised time, among the counts of all turns. Pure.

A snapshot has the counts of its moment, so two of them say what happened in between.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_MEASURED, _MISSED = "slo_measured", "slo_missed"
Counts = Mapping[str, int]
WINDOW = timedelta(hours=1)
"""Over which the part that missed is taken."""


@dataclass(frozen=True, slots=True)
class SloHour:
    """What came of one promise in the last hour of `at`: the part that was missed, of how many."""

    at: datetime
    measured: int
    missed: int

    @property
    def ratio(self) -> float:
        """0 where there was nothing to measure."""
        return self.missed / self.measured if self.measured else 0.0


def measured(agent: str, name: str) -> str:
    """The count of jobs that were measured by an objective."""
    return f"{_MEASURED}:{name}:{agent}"


def missed(agent: str, name: str) -> str:
    """Those of them that missed it."""
    return f"{_MISSED}:{name}:{agent}"


def promised(counts: Counts) -> list[tuple[str, str]]:
    """The agents and objectives that were measured at all."""
    found = (name.split(":", 2) for name in counts if name.startswith(f"{_MEASURED}:"))
    return sorted((parts[2], parts[1]) for parts in found if len(parts) == 3)


def history(
    snapshots: Sequence[tuple[datetime, Counts]], agent: str, name: str
) -> Iterator[SloHour]:
    """For each snapshot but the first what came of it in the hour before, or since the first.

    Where counts have shrunk, Redis was emptied: what was counted since is all there is.
    """
    totals = [
        (at, counts.get(measured(agent, name), 0), counts.get(missed(agent, name), 0))
        for at, counts in snapshots
    ]
    first = 0
    for number, (at, all_, bad) in enumerate(totals[1:], 1):
        while first < number - 1 and totals[first + 1][0] <= at - WINDOW:
            first += 1
        _, all_before, bad_before = totals[first]
        if all_ < all_before:
            first, all_before, bad_before = number, 0, 0
        yield SloHour(at, all_ - all_before, max(0, bad - bad_before))


def missed_since(kept: Sequence[SloHour], allowed: float) -> datetime | None:
    """Since when more is missed than allowed, without a break up to the last snapshot."""
    since = None
    for one in reversed(kept):
        if one.ratio <= allowed:
            break
        since = one.at
    return since

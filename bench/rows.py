"""What a measurement comes to: a row with its targets. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

VERDICTS = {True: "ok", False: "not yet", None: ""}
"""What is said of a value that keeps its bound, of one that does not, and where there is none."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached `now` (the first builds) and as the `goal`.

    Values are bounds from above, or from below with `at_least`.
    """

    now: float
    goal: float
    at_least: bool = False

    def reads(self, bound: float) -> str:
        """A bound as people read it."""
        number = f"{bound:g}" if bound < 1000 else f"{bound:,.0f}"
        return f"{'≥' if self.at_least else '≤'} {number}"

    def is_met(self, value: float | None, bound: float) -> bool | None:
        """Whether `value` keeps the bound; None where there is no value."""
        if value is None:
            return None
        return value >= bound if self.at_least else value <= bound


@dataclass(frozen=True, slots=True)
class Row:
    """One number, in `unit` (`x` for a ratio); `detail` says what lies behind it.

    `value` is None where it could not be measured here; `detail` says why.
    """

    measure: str
    what: str
    value: float | None
    unit: str
    target: Target | None = None
    detail: str = ""

    @property
    def measured(self) -> str:
        """The value with its unit, as people read it."""
        return "–" if self.value is None else f"{shown(self.value)} {self.unit}".rstrip()

    def as_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        target = self.target
        return {
            "measure": self.measure,
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "target_now": None if target is None else target.now,
            "target_goal": None if target is None else target.goal,
            "is_at_least": None if target is None else target.at_least,
            "meets_now": None if target is None else target.is_met(self.value, target.now),
            "meets_goal": None if target is None else target.is_met(self.value, target.goal),
            "detail": self.detail,
        }


def median(values: Sequence[float]) -> float:
    """The median; of nothing an error."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of 100 do not exceed: the nearest rank, no interpolation."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def spread(values: Sequence[float], unit: str = "") -> str:
    """`lowest – highest`, so that a reader sees how noisy the rounds were."""
    return f"{shown(min(values))}–{shown(max(values))}{unit and ' ' + unit}"


def middle_half(values: Sequence[float]) -> str:
    """Between what the middle half of the values lies: one that the machine disturbed says nothing
    of the others."""
    return f"{shown(percentile(values, 25))}–{shown(percentile(values, 75))}"


def shown(value: float) -> str:
    """A number with three significant digits at most after the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"

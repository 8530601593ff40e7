"""What a measurement comes to: a row with its targets. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached `now` (the first builds) and as the `goal`.

    Values are bounds from above, or from below with `at_least`.
    """

    now: float
    goal: float
    at_least: bool = False

    @property
    def sign(self) -> str:
        """How the bound reads."""
        return "≥" if self.at_least else "≤"

    def is_met(self, value: float, bound: float) -> bool:
        """Whether `value` keeps the bound."""
        return value >= bound if self.at_least else value <= bound


@dataclass(frozen=True, slots=True)
class Row:
    """One number, in `unit` (`x` for a ratio); `detail` says what lies behind it."""

    measure: str
    what: str
    value: float
    unit: str
    target: Target | None = None
    detail: str = ""

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


def shown(value: float) -> str:
    """A number with three significant digits at most after the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"

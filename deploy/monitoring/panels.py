"""What a dashboard is made of: rows, panels, and queries of PromQL.

`$agent` and `$__rate_interval` are Grafana's to fill in.
"""

from dataclasses import dataclass
from typing import Literal

RATE = "[$__rate_interval]"
AGENT = '{agent=~"$agent"}'


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and what its series are called: `{{agent}}` is a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart, or one number (`stat`). `unit` is Grafana's name of it; `hint` says how to read it.

    From `bad_from` on a number is red, below `bad_below` too.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    hint: str = ""
    kind: Literal["timeseries", "stat"] = "timeseries"
    bad_from: float | None = None
    bad_below: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A question, and the panels that answer it."""

    question: str
    panels: tuple[Panel, ...]


def chart(title: str, unit: str, *queries: Query, hint: str = "") -> Panel:
    """Lines over time."""
    return Panel(title, unit, queries, hint)


def stat(
    title: str,
    unit: str,
    expression: str,
    *,
    bad_from: float | None = None,
    bad_below: float | None = None,
) -> Panel:
    """One number, red where it is bad."""
    return Panel(title, unit, (Query(expression, ""),), "", "stat", bad_from, bad_below)


def quantile(part: float, histogram: str, by: str = "", where: str = "") -> Query:
    """A value that this part of all were at most."""
    groups = f"le, {by}" if by else "le"
    rates = f"sum by ({groups}) (rate({histogram}_bucket{where}{RATE}))"
    label = f"{{{{{by}}}}}, " if by else ""
    return Query(f"histogram_quantile({part}, {rates})", f"{label}{part * 100:g} %")


def per_second(counter: str, *by: str, where: str = "") -> Query:
    """How often, per second."""
    return Query(f"sum by ({', '.join(by)}) (rate({counter}{where}{RATE}))", _named(by))


def in_all(counter: str, legend: str) -> Query:
    """How often, per second, whatever the labels."""
    return Query(f"sum(rate({counter}{RATE}))", legend)


def read(gauge: str, *by: str, where: str = "", legend: str = "") -> Query:
    """What lies in Redis: every maintenance worker shows the same, so one of them is taken."""
    if not by:
        return Query(f"max({gauge})", legend)
    return Query(f"max by ({', '.join(by)}) ({gauge}{where})", legend or _named(by))


def _named(labels: tuple[str, ...]) -> str:
    return ", ".join(f"{{{{{label}}}}}" for label in labels)

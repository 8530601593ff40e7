"""What the charts of the last hours show. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from memory.records.turn_counts import Spread, TurnsSpan
from tasks.overview.series import MemoryPoint, Series

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over time, the oldest first; without those that nobody has measured."""

    name: str
    points: tuple[tuple[datetime, float], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves of one unit."""

    title: str
    unit: str
    curves: tuple[Curve, ...]


def charts(of: Series) -> tuple[Chart, ...]:
    """The charts that have anything to show."""
    memory, turns = of.memory, of.turns
    every = (
        _memory(memory),
        Chart("Sessions", "", (Curve("listed", tuple((one.at, one.sessions) for one in memory)),)),
        Chart("Queue wait", "s", _spreads(turns, lambda one: one.wait)),
        Chart("First token", "s", _spreads(turns, lambda one: one.first_token)),
        Chart(
            "Speed of a reply",
            "tokens/s",
            (Curve("mean", _known((one.at, one.tokens_per_s) for one in turns)),),
        ),
        Chart(
            "Turns done",
            "per minute",
            (Curve("done", _rate(turns, lambda one: one.done)),),
        ),
        # Beside those that are done, the few that matter could not be seen.
        Chart(
            "Turns that were not",
            "per minute",
            (
                Curve("failed", _rate(turns, lambda one: one.failed)),
                Curve("retried", _rate(turns, lambda one: one.retried)),
                Curve("cancelled", _rate(turns, lambda one: one.cancelled)),
            ),
        ),
    )
    full = (
        Chart(one.title, one.unit, tuple(curve for curve in one.curves if curve.points))
        for one in every
    )
    return tuple(one for one in full if one.curves)


def _memory(memory: Sequence[MemoryPoint]) -> Chart:
    used = tuple((one.at, one.used_bytes / MIB) for one in memory)
    # A limit far above hides what happens below it; `griot check` warns of 80 %.
    near = (one for one in memory if 0 < one.most_bytes < 3 * one.used_bytes)
    limit = tuple((one.at, one.most_bytes / MIB) for one in near)
    return Chart("Memory of Redis", "MiB", (Curve("used", used), Curve("limit", limit)))


def _spreads(
    turns: Sequence[TurnsSpan], spread: Callable[[TurnsSpan], Spread | None]
) -> tuple[Curve, ...]:
    found = [(one.at, known) for one in turns if (known := spread(one)) is not None]
    return (
        Curve("half of them", tuple((at, one.p50_ms / 1000) for at, one in found)),
        Curve("95 of 100", tuple((at, one.p95_ms / 1000) for at, one in found)),
    )


def _rate(
    turns: Sequence[TurnsSpan], count: Callable[[TurnsSpan], int]
) -> tuple[tuple[datetime, float], ...]:
    return tuple((one.at, count(one) * 60 / one.seconds) for one in turns)


def _known(
    points: Iterable[tuple[datetime, float | None]],
) -> tuple[tuple[datetime, float], ...]:
    return tuple((at, value) for at, value in points if value is not None)

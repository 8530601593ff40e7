"""Charts in a terminal. Imported when it is asked for: plotext takes half a second."""

from datetime import UTC, datetime
from math import floor, log10

import plotext

from worker.cli.charts.chart import Chart

HEIGHT = 14
LEAST_WIDTH, MOST_WIDTH = 40, 160
A_DAY_S = 24 * 3600
ROUND = (1, 2, 4, 6, 8, 10)
"""Whose quarters are short numbers, too."""


def drawn(chart: Chart, *, width: int, is_coloured: bool) -> str:
    """A chart in lines, with colours or without; times are UTC, as in tables."""
    figure = plotext.figure
    figure.clear()
    figure.plot_size(min(max(width, LEAST_WIDTH), MOST_WIDTH), HEIGHT)
    figure.canvas("default")
    figure.title(f"{chart.title}, {chart.unit}" if chart.unit else chart.title)
    for curve in chart.curves:
        at_s = [at.timestamp() for at, _ in curve.points]
        signal = figure.signal(at_s, [value for _, value in curve.points]).lines()
        figure.draw(signal.label(curve.name) if len(chart.curves) > 1 else signal)
    points = [point for curve in chart.curves for point in curve.points]
    figure.ruler("y").lim(0, _rounded_up(max(value for _, value in points)))
    first, last = min(at for at, _ in points), max(at for at, _ in points)
    times = sorted({first, first + (last - first) / 2, last})
    figure.ruler("x").ticks([at.timestamp() for at in times], _named(times))
    return str(figure.build().string(not is_coloured)).rstrip("\n")


def _named(times: list[datetime]) -> list[str]:
    is_long = (times[-1] - times[0]).total_seconds() > A_DAY_S
    return [at.astimezone(UTC).strftime("%b %d %H:%MZ" if is_long else "%H:%MZ") for at in times]


def _rounded_up(value: float) -> float:
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next((one * power for one in ROUND if one * power >= value), 10 * power)

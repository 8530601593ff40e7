"""Charts as a picture in a file. Imported when it is asked for: matplotlib takes a second."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from worker.cli.charts.chart import Chart

COLUMNS = 2
WIDTH, HEIGHT = 12.0, 3.2
"""Inches: of the picture, and of each row of charts."""


def save(charts: Sequence[Chart], file: Path) -> None:
    """Write a PNG, over what is there. Raises OSError."""
    rows = -(-len(charts) // COLUMNS)
    figure = Figure(figsize=(WIDTH, HEIGHT * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, chart in enumerate(charts, start=1):
        axes = figure.add_subplot(rows, COLUMNS, number)
        axes.set_title(f"{chart.title}, {chart.unit}" if chart.unit else chart.title, loc="left")
        for curve in chart.curves:
            times, values = zip(*curve.points, strict=True)
            axes.plot(times, values, label=curve.name, marker="." if len(times) == 1 else "")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # of matplotlib's own
        shown = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]  # the same
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(shown)
        if len(chart.curves) > 1:
            axes.legend(frameon=False)
    figure.supxlabel("UTC")
    figure.savefig(file, format="png", dpi=120)

"""What `griot stats --plot` and `--png` draw of the snapshots."""

import os
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from memory.records.turn_counts import Spread, TurnsSpan
from tasks.overview.series import MemoryPoint, Series
from worker.cli import main
from worker.cli.charts.chart import Chart, Curve, charts
from worker.cli.charts.drawing import drawn
from worker.cli.charts.picture import save

BEGIN = datetime(2026, 11, 26, 10, tzinfo=UTC)
MIB = 1024 * 1024


def moment(number: int) -> datetime:
    """A minute after the other."""
    return BEGIN + timedelta(minutes=number)


def span(number: int, *, wait_ms: float | None = 500.0, failed: int = 0) -> TurnsSpan:
    """A minute of turns."""
    wait = None if wait_ms is None else Spread(wait_ms, 2 * wait_ms)
    return TurnsSpan(moment(number), 60, 30 + number % 7, failed, 1, 0, 40.0, wait, wait)


def hour(*, most_bytes: int = 300 * MIB) -> Series:
    """An hour of both."""
    memory = tuple(
        MemoryPoint(moment(n), (100 + n) * MIB, most_bytes, 1000, 50 + n) for n in range(60)
    )
    return Series(
        memory, tuple(span(n, wait_ms=100.0 * n or None, failed=n // 30) for n in range(1, 60))
    )


def curve(title: str, name: str, of: Series) -> Curve | None:
    """One curve by its names."""
    curves = (one for chart in charts(of) if chart.title == title for one in chart.curves)
    return next((one for one in curves if one.name == name), None)


def test_charts_have_the_units_that_they_name() -> None:
    """MiB, seconds, turns per minute; what nobody has measured is left out, not drawn as 0."""
    of = hour()
    used, wait, failed = (
        curve("Memory of Redis", "used", of),
        curve("Queue wait", "95 of 100", of),
        curve("Turns that were not", "failed", of),
    )
    assert used is not None
    assert used.points[0] == (moment(0), 100.0)
    assert wait is not None
    assert wait.points[-1] == (moment(59), 11.8)
    assert failed is not None
    assert {value for _, value in failed.points} == {0.0, 1.0}
    quiet = Series((), (span(1, wait_ms=None),))
    assert [one.title for one in charts(quiet)] == [
        "Speed of a reply",
        "Turns done",
        "Turns that were not",
    ]
    assert charts(Series((), ())) == ()


def test_a_limit_far_above_hides_nothing() -> None:
    """It is drawn where it matters."""
    assert curve("Memory of Redis", "limit", hour()) is not None
    assert curve("Memory of Redis", "limit", hour(most_bytes=0)) is None
    assert curve("Memory of Redis", "limit", hour(most_bytes=9000 * MIB)) is None


@pytest.mark.parametrize("width", [10, 40, 80, 500])
def test_a_chart_fits_its_terminal(width: int) -> None:
    """Of 40 columns or more; without colours nothing is in it but what can be seen."""
    for chart in charts(hour()):
        rows = drawn(chart, width=width, is_coloured=False).split("\n")
        assert len(rows) == 14
        assert all(len(row) <= max(40, width) and row.isprintable() for row in rows)
        assert chart.title in rows[0]
        assert rows[-1].split()[0].startswith("10:0")
        assert "\x1b[" in drawn(chart, width=width, is_coloured=True)


def test_one_point_and_nothing_but_zeros_are_drawn() -> None:
    """In both ways."""
    few = [
        Chart("One", "s", (Curve("a", ((moment(0), 3.0),)),)),
        Chart("Zeros", "", (Curve("a", ((moment(0), 0.0), (moment(1), 0.0))),)),
    ]
    for chart in few:
        assert drawn(chart, width=60, is_coloured=False)
    save(few, Path(os.devnull))


def test_a_picture_is_written(tmp_path: Path) -> None:
    """As PNG, whatever the file is called."""
    file = tmp_path / "hour"
    save(charts(hour()), file)
    assert file.read_bytes().startswith(b"\x89PNG\r\n")
    assert file.stat().st_size > 20_000


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before it asks Redis."""
    monkeypatch.setattr(import_module("worker.cli.charts.command"), "HAS_PLOT", False)
    ended = CliRunner().invoke(main, ["stats", "--plot"])
    assert ended.exit_code == 1
    assert "./griot[plot]" in ended.stderr

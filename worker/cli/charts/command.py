"""`griot stats`: the memory statistics, now and over time, and charts of memory and turns."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import click

from memory import Housekeeping, MemoryStats, StatsPoint
from memory.records.stats import human_size, memory_stats
from tasks.overview.series import series
from tasks.process.services import ProducerServices, producer_services
from worker.cli.charts.chart import Chart, charts
from worker.cli.charts.week import week_ahead
from worker.cli.console import Table, is_terminal, json_option, moment, show, show_json, terminal
from worker.cli.group import CommandFailed
from worker.extras import HAS_PLOT

MOST_HOURS = 24 * 365


@click.command()
@click.option(
    "--history",
    "points",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="The last N snapshots that beat took, instead of the current numbers.",
)
@click.option(
    "--plot", is_flag=True, help="Charts in the terminal: memory, queue wait, first token, turns."
)
@click.option(
    "--png",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The same charts as a picture.",
)
@click.option(
    "--hours",
    type=click.IntRange(1, MOST_HOURS),
    default=24,
    show_default=True,
    help="Of the last hours, for --plot and --png.",
)
@json_option
def stats(*, points: int | None, plot: bool, file: Path | None, hours: int, as_json: bool) -> None:
    """Show what Redis uses for the memory, now or over time, and how the turns went.

    \b
    Example:
      griot stats                   now, and in a week at this growth
      griot stats --history 60      an hour, at the default MEMORY_STATS_EVERY
      griot stats --plot --hours 168
      griot stats --png week.png --hours 168
    """
    services = producer_services()
    if plot or file is not None:
        _draw(services, hours=hours, file=file, is_shown=plot)
        return
    if points is None:
        _now(services, as_json=as_json)
        return
    snapshots = Housekeeping(services.memory, services.keyspace).read_stats(limit=points)
    show_json(snapshots) if as_json else show(table_over_time(snapshots))


def _now(services: ProducerServices, *, as_json: bool) -> None:
    now = memory_stats(services.memory, services.keyspace)
    day = series(services.memory, services.keyspace, hours=24).memory
    ahead = week_ahead(day, most_bytes=now["maxmemory_bytes"])
    if as_json:
        show_json({**now, "in_a_week_bytes": ahead.in_a_week_bytes})
        return
    numbers = table_of(now)
    show(replace(numbers, rows=[*numbers.rows, ("in a week, as the last day went", ahead.words)]))


def _draw(services: ProducerServices, *, hours: int, file: Path | None, is_shown: bool) -> None:
    if not HAS_PLOT:
        raise CommandFailed("charts need Griot's extra `plot`: pip install './griot[plot]'")
    found = charts(series(services.memory, services.keyspace, hours=hours))
    if not found:
        raise CommandFailed(
            f"there are no snapshots of the last {hours} hours: beat and the maintenance worker "
            "take one every MEMORY_STATS_EVERY"
        )
    if is_shown:
        _show(found)
    if file is not None:
        # Both libraries are slow to import, and no other command draws.
        try:
            import_module("worker.cli.charts.picture").save(found, file)
        except OSError as exc:
            raise CommandFailed(f"cannot write the picture {file}: {exc.strerror}") from None


def _show(found: Sequence[Chart]) -> None:
    drawing, console = import_module("worker.cli.charts.drawing"), terminal()
    is_coloured = is_terminal() and not console.no_color
    for chart in found:
        click.echo(drawing.drawn(chart, width=console.width, is_coloured=is_coloured), color=True)


def table_of(numbers: MemoryStats) -> Table:
    """The numbers of one moment."""
    rows = [(name.replace("_", " "), value) for name, value in numbers.items()]
    return Table("Memory statistics", ("Number", "Value"), rows)


def table_over_time(series: Sequence[StatsPoint]) -> Table:
    """One row for each snapshot, the oldest first."""
    rows = [
        (
            moment(point.at),
            human_size(point.used_memory_bytes),
            point.total_keys,
            point.sessions,
            point.agents,
            point.evicted_keys,
            point.connected_clients,
        )
        for point in series
    ]
    columns = ("At", "Used", "Keys", "Sessions", "Agents", "Evicted", "Clients")
    return Table("Memory statistics over time", columns, rows)

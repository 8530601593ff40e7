"""`griot stats`: the memory statistics, now and over time."""

from collections.abc import Sequence

import click

from memory import Housekeeping, MemoryStats, StatsPoint
from memory.records.stats import human_size, memory_stats
from tasks.process.services import producer_services
from worker.cli.console import Table, json_option, moment, show, show_json


@click.command()
@click.option(
    "--history",
    "points",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="The last N snapshots that beat took, instead of the current numbers.",
)
@json_option
def stats(points: int | None, as_json: bool) -> None:
    """Show what Redis uses for the memory, now or over time.

    \b
    Example:
      griot stats
      griot stats --history 60      an hour, at the default MEMORY_STATS_EVERY
    """
    services = producer_services()
    if points is None:
        now = memory_stats(services.memory, services.keyspace)
        show_json(now) if as_json else show(table_of(now))
        return
    series = Housekeeping(services.memory, services.keyspace).read_stats(limit=points)
    show_json(series) if as_json else show(table_over_time(series))


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

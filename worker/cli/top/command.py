"""`griot top`: a live view of turns, queue, slots, workers and model servers."""

import sys
import time
from contextlib import closing

import click

from tasks.process.services import producer_services
from worker.cli.console import Table, is_terminal, say, show, terminal
from worker.cli.top.snapshot import Snapshot, take
from worker.cli.top.tables import NAMES, grid_of
from worker.cli.top.terminal import watch_on
from worker.cli.top.view import TopView
from worker.cli.top.watch import Watch

REPORTED_S = 2.5
"""By then every worker that is well has heard that somebody looks, and has reported."""


@click.command()
@click.option("--once", is_flag=True, help="Print the table as it is now: for a pipe, or a script.")
@click.option(
    "--table",
    type=click.Choice(NAMES),
    default=NAMES[0],
    show_default=True,
    help="The table that is seen first, or printed.",
)
@click.option("--filter", "wanted", default="", metavar="TEXT", help="Only rows with this text.")
@click.option(
    "--every",
    "every_s",
    # Nobody looks for ten seconds: the workers stop reporting.
    type=click.FloatRange(0.5, 8),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
def top(*, once: bool, table: str, wanted: str, every_s: float) -> None:
    """Watch what runs, what waits and why, slots, workers and model servers.

    Workers report while somebody looks, so the first table may be empty for two seconds. Where
    Redis is away, this says so and goes on.

    \b
    Keys:
      Tab, 1 to 5   another table         left, right   sort by another column
      / TEXT Enter  filter, Esc drops it  r             the other way round
      up, down      scroll                p             pause
      q             quit

    \b
    Example:
      griot top
      griot top --table waiting --filter energy
      griot top --once --table servers
    """
    services = producer_services()
    view = TopView(table=table, filter=wanted)
    if once:
        take(services)
        time.sleep(REPORTED_S)
        _print(take(services), view)
        return
    if not (is_terminal() and sys.stdin.isatty()) or terminal().is_dumb_terminal:
        raise click.UsageError("`griot top` needs a terminal; --once prints one table")
    watch = Watch(lambda: take(services), every_s)
    with closing(watch):
        watch_on(terminal(), watch, view)


def _print(now: Snapshot, view: TopView) -> None:
    grid = grid_of(now, view.table)
    rows = [grid.cells(row) for row in view.rows(grid)]
    if not rows and is_terminal():
        say(grid.empty)
        return
    show(Table(grid.name, [column.name for column in grid.columns], rows))

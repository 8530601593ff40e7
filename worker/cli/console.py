"""What commands print: tables on a terminal, tab-separated lines in a pipe, JSON when asked.

Text of others (ids, messages, replies) goes through `printable`, so that it cannot steer a
terminal.
"""

import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import click
import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from memory.lifetimes import UNTIL_ERASED_S

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
limit_option = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True
)
_KEPT = frozenset("\n\t")
_LAST_MS = 253_402_300_799_000
"""The end of the year 9999."""
PROSE_WIDTH = 24
"""Columns below which running text is hard to read."""
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. A cell is shown as `str` gives it, None as nothing.

    On a terminal that is too narrow for the columns, each row is a block of `Heading: value`.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def is_terminal() -> bool:
    """Whether what is printed goes to a terminal."""
    return sys.stdout.isatty()


class _Console(Console):
    """Rich's, which without this ends the process itself when the reader of a pipe has left."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def terminal() -> Console:
    """Rich's console on what is standard output now: in a pipe 80 columns without colour, whatever
    the terminal is that standard error goes to."""
    is_drawn = is_terminal()
    return _Console(highlight=False, force_terminal=is_drawn, width=None if is_drawn else 80)


def show(table: Table, *, is_to_read: bool = False) -> None:
    """Print a table: drawn on a terminal, else a line of headings and tab-separated lines.

    With `is_to_read` a person reads it in any case: in a pipe its columns are aligned.
    """
    rows = [[_cell(value) for value in row] for row in table.rows]
    if is_terminal():
        console = terminal()
        for part in _parts(table, rows, console.width):
            console.print(part)
        return
    plain = [[name.lower() for name in table.columns], *rows]
    if is_to_read:
        click.echo(f"{table.title}\n" + "\n".join(_aligned(plain)))
        return
    for row in plain:
        click.echo("\t".join(" ".join(cell.split()) for cell in row))


def show_json(value: object) -> None:
    """Print `value` as JSON. Dataclasses and dates are understood."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def say(text: str = "", *, style: str = "") -> None:
    """Print text to standard output, a long line wrapped on a terminal only."""
    if is_terminal():
        terminal().print(Text(printable(text), style=style))
    else:
        click.echo(printable(text))


def write(text: str) -> None:
    """Print a piece of text at once, without a line's end."""
    click.echo(printable(text), nl=False)


def note(text: str) -> None:
    """Print a remark, to standard error: it is no part of what was asked for."""
    click.echo(printable(text), err=True)


def printable(text: str) -> str:
    """`text` without control characters, line ends and tabs excepted."""
    return "".join(
        char for char in text if char in _KEPT or not unicodedata.category(char).startswith("C")
    )


def ago(at_ms: float, *, now_ms: float) -> str:
    """How long ago a moment was: `3 s ago`, `5 min ago`."""
    return f"{duration(max(0.0, now_ms - at_ms) / 1000)} ago"


def duration(seconds: float) -> str:
    """A length of time in its largest unit: `3 s`, `5 min`, `2 h`, `4 d`."""
    for unit, size_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def kept_for(seconds: float) -> str:
    """How long a session is kept, as `duration` has it; or that it is kept until it is erased."""
    return "until erased" if seconds > UNTIL_ERASED_S / 2 else duration(seconds)


def moment_of(at_ms: float) -> str:
    """A moment in ms since the epoch, as `moment` has it."""
    return moment(datetime.fromtimestamp(within_time_ms(at_ms) / 1000, UTC))


def within_time_ms(at_ms: float) -> int:
    """A stored moment in ms, or the nearest that there is: another program may have written it."""
    return int(min(max(at_ms, 0), _LAST_MS))


def moment(at: datetime) -> str:
    """A moment in UTC, to the second, as ISO 8601 has it."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _parts(
    table: Table, rows: Sequence[Sequence[str]], width: int
) -> Iterator[RichTable | Text | Padding]:
    """What is drawn of a table on a terminal of this width."""
    columns = [*zip(table.columns, *rows, strict=True)]
    least = [max(map(_least_width, column), default=0) for column in columns]
    if sum(least) + 3 * len(least) + 1 <= width:
        yield _drawn(table, rows, least)
        return
    yield Text(table.title, style="italic")
    for row in rows:
        yield from _block(table.columns, row, width)


def _least_width(cell: str) -> int:
    """The columns that a cell needs to be read with ease: its longest word, or a short line."""
    return max(map(cell_len, [*cell.split(), cell[:PROSE_WIDTH]]), default=0)


def _drawn(table: Table, rows: Sequence[Sequence[str]], least: Sequence[int]) -> RichTable:
    drawn = RichTable(title=table.title, title_justify="left", header_style="bold")
    for name, min_width in zip(table.columns, least, strict=True):
        drawn.add_column(name, overflow="fold", min_width=min_width)
    for row in rows:
        drawn.add_row(*(_styled(cell) for cell in row))
    return drawn


def _block(columns: Sequence[str], row: Sequence[str], width: int) -> Iterator[Text | Padding]:
    """One row on lines of its own: as many cells on a line as fit, a long one on its own."""
    line = Text()
    indent = 0
    for name, cell in zip(columns, row, strict=True):
        if not cell:
            continue
        part = Text.assemble((f"{name}: " if name else "", "bold"), _styled(cell))
        is_long = cell_len(cell) > PROSE_WIDTH and " " in cell
        if line and (is_long or line.cell_len + 2 + part.cell_len + indent > width):
            yield Padding(line, (0, 0, 0, indent))
            line, indent = Text(), 2
        line = Text("  ").join([line, part]) if line else part
    yield Padding(line, (0, 0, 0, indent))


def _styled(cell: str) -> Text:
    return Text(cell, style=_STYLES.get(cell, ""), overflow="fold")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cell(value: object) -> str:
    return "" if value is None else printable(str(value))

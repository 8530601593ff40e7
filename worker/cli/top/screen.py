"""What `griot top` draws: as many lines of as many columns as the terminal has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tasks.overview.outages import OutageNow
from tasks.overview.pauses import PauseNow
from worker.cli.console import duration
from worker.cli.top.snapshot import Snapshot
from worker.cli.top.tables import NAMES, Grid, grid_of, tokens_per_s, word
from worker.cli.top.view import HINTS, TopView

WIDEST = 40
NARROWEST = 12
GAP = 2
LEAST_ROWS = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """The last snapshot and how old it is; `trouble`: why there is no newer one."""

    snapshot: Snapshot | None
    age_s: float
    trouble: str | None


def drawn(seen: Seen, view: TopView, *, width: int, height: int) -> Text:
    """The whole screen. On a small one the table stays, and what stands around it goes."""
    above = [*_head(seen, view)]
    below = [Text(_foot(view), "dim")]
    if height < len(above) + len(below) + 1 + LEAST_ROWS:
        above, below = [line for line in above if line.style == "bold red"], []
    grid = None if seen.snapshot is None else grid_of(seen.snapshot, view.table)
    room = max(0, height - len(above) - len(below))
    table = [Text("looking …")] if grid is None else [*_table(grid, view, width, room)]
    filler = [Text()] * (room - len(table))
    lines = [*above, *table[:room], *filler, *below][:height]
    return Text("\n", no_wrap=True, end="").join(_fitted(line, width) for line in lines)


def _head(seen: Seen, view: TopView) -> Iterator[Text]:
    tabs = (
        Text(f" {at + 1} {name} ", "reverse" if name == view.table else "")
        for at, name in enumerate(NAMES)
    )
    yield Text().join(tabs)
    now = seen.snapshot
    if now is not None:
        paused = f"paused, {duration(seen.age_s)} old · " if view.is_paused else ""
        yield Text(paused + _sum(now))
    if seen.trouble is not None:
        old = "" if now is None else f"; what is shown is {duration(seen.age_s)} old"
        yield Text(f"it goes on trying{old}: {word(seen.trouble)}", "bold red")
    elif now is not None and now.outages:
        yield Text(_trouble(now.outages), "bold red")
    if now is not None and now.pauses:
        yield Text(_trouble(now.pauses), "bold yellow")
    yield Text()


def _sum(now: Snapshot) -> str:
    running = sum(one.running for one in now.workers)
    limit = sum(one.limit for one in now.workers)
    more = "+" if now.has_more else ""
    speed = sum(map(tokens_per_s, now.workers))
    return (
        f"{len(now.workers)} workers · {running} of {limit} turns · "
        f"{len(now.waiting)}{more} waiting · {speed:.0f} tokens/s"
    )


def _trouble(found: Sequence[OutageNow] | Sequence[PauseNow]) -> str:
    more = f"; {len(found) - 1} more" if len(found) > 1 else ""
    return word(found[0].in_words) + more


def _foot(view: TopView) -> str:
    if view.is_typing:
        return f"filter: {view.filter}▏ · Enter keeps it, Esc drops it"
    return f"filter: {view.filter} · Esc drops it · q quit" if view.filter else HINTS


def _table(grid: Grid, view: TopView, width: int, room: int) -> Iterator[Text]:
    rows = view.rows(grid)
    if not rows:
        yield Text("nothing matches the filter" if view.filter else grid.empty)
        return
    seen = view.window(rows, max(1, room - 1))
    arrow = "▲" if view.is_upwards(grid) else "▼"
    names = [column.name for column in grid.columns]
    names[view.column(grid)] += arrow
    cells = [grid.cells(row) for row in seen]
    widths = _widths([names, *cells], [column.rank for column in grid.columns], width)
    is_number = [any(isinstance(row[at], int | float) for row in rows) for at in range(len(names))]
    yield _row(names, widths, is_number, "bold")
    for row in cells:
        yield _row(row, widths, is_number, "")


def _row(
    cells: Sequence[str], widths: Sequence[int], is_number: Sequence[bool], style: str
) -> Text:
    fitted = (
        _aligned(cell, width, is_right=is_right)
        for cell, width, is_right in zip(cells, widths, is_number, strict=True)
        if width
    )
    return Text((" " * GAP).join(fitted), style)


def _aligned(cell: str, width: int, *, is_right: bool) -> str:
    if cell_len(cell) > width:
        return set_cell_size(cell, width - 1) + "…"
    space = " " * (width - cell_len(cell))
    return space + cell if is_right else cell + space


def _widths(rows: Sequence[Sequence[str]], ranks: Sequence[int], most: int) -> list[int]:
    """The columns' widths; 0 of one that does not fit. Long ids are cut before a column goes."""
    widths = [max(1, *(min(WIDEST, cell_len(row[at])) for row in rows)) for at in range(len(ranks))]

    def excess() -> int:
        return sum(one + GAP for one in widths if one) - GAP - most

    while excess() > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] > NARROWEST:
            widths[widest] = max(NARROWEST, widths[widest] - excess())
        elif sum(map(bool, widths)) > 1:
            shown = (at for at, one in enumerate(widths) if one)
            widths[max(shown, key=ranks.__getitem__)] = 0
        else:
            widths[widest] = max(1, most)
            break
    return widths


def _fitted(line: Text, width: int) -> Text:
    fitted = line.copy()
    fitted.truncate(max(1, width), overflow="ellipsis")
    return fitted

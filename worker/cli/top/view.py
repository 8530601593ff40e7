"""Which table is seen, how it is sorted and filtered, and what each key changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.cli.top.tables import NAMES, Grid, Row, Value

MOST_TYPED = 60
HINTS = "Tab table · ←→ sort by · r reverse · ↑↓ scroll · / filter · p pause · q quit"
PAGE = 10
STEPS = {"left": -1, "right": 1}


@dataclass(slots=True)
class TopView:
    """What somebody has chosen. `scroll`: rows above the first that is seen."""

    table: str = NAMES[0]
    filter: str = ""
    is_typing: bool = False
    is_paused: bool = False
    is_over: bool = False
    scroll: int = 0
    _sorted_by: dict[str, int] = field(default_factory=dict)
    _reversed: set[str] = field(default_factory=set)

    def press(self, key: str, grid: Grid | None) -> None:
        """A key, as prompt_toolkit names it; `grid` is the table that is seen, if one is yet.
        Raises KeyboardInterrupt for Ctrl-C."""
        if key == "c-c":
            raise KeyboardInterrupt
        if self.is_typing:
            self._type(key)
        elif key in NUMBERS:
            self._show(NAMES[NUMBERS.index(key)])
        elif key in STEPS and grid is not None:
            self._sorted_by[grid.name] = self.column(grid) + STEPS[key]
        elif (act := _ACTS.get(key)) is not None:
            act(self)

    def column(self, grid: Grid) -> int:
        """The column that a table is sorted by."""
        return self._sorted_by.get(grid.name, grid.order) % len(grid.columns)

    def is_upwards(self, grid: Grid) -> bool:
        """Whether the smallest comes first. Names do without being asked to."""
        values = (row[self.column(grid)] for row in grid.rows)
        return any(isinstance(one, str) for one in values) != (grid.name in self._reversed)

    def rows(self, grid: Grid) -> Sequence[Row]:
        """What is left of a table's rows, in the order asked for; unknown values come last."""
        at = self.column(grid)
        wanted = self.filter.casefold()
        left = [row for row in grid.rows if wanted in _text(grid, row)]
        known = [row for row in left if row[at] is not None]
        known.sort(key=lambda row: _comparable(row[at]), reverse=not self.is_upwards(grid))
        return [*known, *(row for row in left if row[at] is None)]

    def window(self, rows: Sequence[Row], room: int) -> Sequence[Row]:
        """The rows that are seen where `room` have a place; what was scrolled too far is not."""
        self.scroll = min(self.scroll, max(0, len(rows) - room))
        return rows[self.scroll : self.scroll + room]

    def _type(self, key: str) -> None:
        if key == "c-m":
            self.is_typing = False
        elif key == "escape":
            self.is_typing, self.filter = False, ""
        elif key == "c-h":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self.filter = (self.filter + key)[:MOST_TYPED]
        self.scroll = 0

    def _show(self, table: str) -> None:
        self.table, self.scroll = table, 0

    def _next(self, step: int) -> None:
        self._show(NAMES[(NAMES.index(self.table) + step) % len(NAMES)])

    def _scroll(self, rows: int) -> None:
        self.scroll = max(0, self.scroll + rows)

    def _reverse(self) -> None:
        self._reversed ^= {self.table}

    def _begin_filter(self) -> None:
        self.is_typing = True

    def _forget_filter(self) -> None:
        self.filter, self.scroll = "", 0

    def _pause(self) -> None:
        self.is_paused = not self.is_paused

    def _leave(self) -> None:
        self.is_over = True


NUMBERS = tuple(str(number + 1) for number in range(len(NAMES)))
_ACTS: Mapping[str, Callable[[TopView], None]] = {
    "c-i": lambda view: view._next(1),
    "s-tab": lambda view: view._next(-1),
    "up": lambda view: view._scroll(-1),
    "down": lambda view: view._scroll(1),
    "pageup": lambda view: view._scroll(-PAGE),
    "pagedown": lambda view: view._scroll(PAGE),
    "r": TopView._reverse,
    "/": TopView._begin_filter,
    "escape": TopView._forget_filter,
    "p": TopView._pause,
    "q": TopView._leave,
}


def _text(grid: Grid, row: Row) -> str:
    return "\t".join(grid.cells(row)).casefold()


def _comparable(value: Value) -> tuple[float, str]:
    return (0.0, value.casefold()) if isinstance(value, str) else (float(value or 0), "")

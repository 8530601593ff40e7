"""The page of a run of the benchmark, made from what `--json` prints. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from pydantic import BaseModel, TypeAdapter

from bench.html.charts import Bar, bars
from bench.html.elements import element, page, table
from bench.rows import VERDICTS, Row, Target

TITLE = "Griot: the benchmark"
HEAD = ("What", "Measured", "Now", "Goal", "Behind it")


class _Shown(BaseModel):
    """A row as `Row.as_json` has it."""

    measure: str
    what: str
    value: float | None
    unit: str
    target_now: float | None
    target_goal: float | None
    is_at_least: bool | None
    detail: str

    def row(self) -> Row:
        """The row that it was."""
        target = None
        if self.target_now is not None and self.target_goal is not None:
            at_least = bool(self.is_at_least)
            target = Target(self.target_now, self.target_goal, at_least=at_least)
        return Row(self.measure, self.what, self.value, self.unit, target, self.detail)


_ROWS = TypeAdapter(list[_Shown])


def html(document: Mapping[str, object]) -> str:
    """The page: how far each row is from its goal, all rows, and the machine."""
    rows = [one.row() for one in _ROWS.validate_python(document["rows"])]
    by_measure: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_measure[row.measure].append(row)
    reached = [row.target.is_met(row.value, row.target.goal) for row in rows if row.target]
    facts = [(name, str(value)) for name, value in document.items() if name != "rows"]
    known = f"{reached.count(True)} of {len(reached)} goals are reached"
    unknown = reached.count(None)
    summary = f"{known}, {unknown} could not be measured." if unknown else f"{known}."
    parts = [part for name, some in by_measure.items() for part in _measure(name, some)]
    return page(
        TITLE,
        element("p", summary),
        *parts,
        element("h2", "The machine"),
        table(("Fact", "Value"), facts),
    )


def _measure(name: str, rows: Sequence[Row]) -> list[Element]:
    found = [bar for row in rows if (bar := _bar(row)) is not None]
    chart = [bars(f"{name}: how far from the goals", found)] if found else []
    return [element("h2", name), *chart, table(HEAD, map(_cells, rows))]


def _bar(row: Row) -> Bar | None:
    if row.value is None or row.target is None:
        return None
    goal = row.target.goal
    apart = (goal, row.value) if row.target.at_least else (row.value, goal)
    share = apart[0] / apart[1] if apart[1] > 0 else float("inf")
    return Bar(row.what, max(0.0, share), row.measured)


def _cells(row: Row) -> list[Element | str]:
    now, goal = (
        _bound(row, bound)
        for bound in ((row.target.now, row.target.goal) if row.target else (None, None))
    )
    return [row.what, element("td", row.measured, class_="number"), now, goal, row.detail]


def _bound(row: Row, bound: float | None) -> Element:
    if row.target is None or bound is None:
        return element("td", "")
    is_met = row.target.is_met(row.value, bound)
    kind = {True: "good", False: "bad", None: "mute"}[is_met]
    said = f"{row.target.reads(bound)} {VERDICTS[is_met]}".rstrip()
    return element("td", said, class_=f"number {kind}")

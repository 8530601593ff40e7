"""How the rows are shown: a table for people, JSON for programs."""

import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.rows import VERDICTS, Row


def table(rows: Sequence[Row]) -> str:
    """The rows with their targets, and whether each is reached."""
    head = ("measure", "what", "measured", "now", "", "goal", "")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    texts = [_line(cells, widths) for cells in lines]
    details = [f"  {row.what}: {row.detail}" for row in rows if row.detail]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:], "", *details])


def markdown(rows: Sequence[Row]) -> str:
    """The rows as docs/performance.md shows them."""
    head = ("What", "Measured", "Now", "Goal", "Behind it")
    lines: list[tuple[str, ...]] = [head, ("---", "---:", "---", "---", "---")]
    for row in rows:
        _, what, value, now, is_now, goal, is_goal = _cells(row)
        verdicts = [f"{bound} {mark}".strip() for bound, mark in ((now, is_now), (goal, is_goal))]
        lines.append((what, value, *verdicts, row.detail))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def row_line(row: Row) -> str:
    """One row for the progress report."""
    target = "" if row.target is None else f"  (now {row.target.reads(row.target.now)})"
    return f"{row.what}: {row.measured}{target}"


def document(rows: Iterable[Row], facts: Mapping[str, object]) -> dict[str, object]:
    """All as one JSON object."""
    return {**facts, "rows": [row.as_json() for row in rows]}


def machine() -> dict[str, object]:
    """Where and when this ran.

    The load shows whether others used the machine, the CPU time of a million additions in Python
    how fast it was: absolute numbers of two runs compare only where that is alike.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
        "million_additions_ms": round(min(_additions_ms() for _ in range(5)), 1),
    }


def _cells(row: Row) -> tuple[str, ...]:
    target = row.target
    if target is None:
        return (row.measure, row.what, row.measured, "", "", "", "")
    bounds = (target.now, target.goal)
    now, goal = (VERDICTS[target.is_met(row.value, bound)] for bound in bounds)
    shown_now, shown_goal = map(target.reads, bounds)
    return (row.measure, row.what, row.measured, shown_now, now, shown_goal, goal)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [
        cell.rjust(width) if i == 2 else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()


def _additions_ms() -> float:
    began = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number
    return (time.process_time() - began) * 1000


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

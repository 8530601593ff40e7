"""Tables as a person sees them: drawn where they fit, else a block for each row."""

import io
import re
import sys

import pytest

from worker.cli.console import PROSE_WIDTH, Table, show

JOB = "4d10cdb2-681c-4eba-810c-bd649f2ffa50"
SESSION = "user-123-session-1"
WHEN = "2026-11-26T10:00:00Z"
REASON = "Ollama at http://gpu-1:11434 refuses the request (HTTP 400): see its log"
LETTERS = Table(
    "Dead letters",
    ("Since", "Agent", "Session", "Job", "Attempts", "Reason"),
    [(WHEN, "energy", SESSION, JOB, 5, REASON)] * 2,
)
TABLES = (
    LETTERS,
    Table(
        "Audit",
        ("At", "Who", "Deed", "Agent", "Session or user", "Job", "Outcome"),
        [(WHEN, "ama@gateway-3", "requeue", "energy", SESSION, JOB, f"requeued as {JOB}~r1")],
    ),
    Table(
        "Sessions of energy",
        ("Session", "Messages", "Pending", "Last used", "Kept for"),
        [(SESSION, 12, 0, "3 min ago", "24 h")],
    ),
    Table(
        "Memory statistics over time",
        ("At", "Used", "Keys", "Sessions", "Agents", "Evicted", "Clients"),
        [(WHEN, "1.50M", 100_000, 5000, 12, 0, 33)],
    ),
    Table(
        "Erased",
        ("Agent", "Session", "Messages", "Summaries", "Letters", "Events", "Data", "Pending"),
        [("energy", SESSION, 12, 1, 0, 40, 2, 0)],
    ),
)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _shown(table: Table, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    screen = _Terminal()
    with monkeypatch.context() as patched:
        patched.setenv("COLUMNS", str(width))
        patched.setattr(sys, "stdout", screen)
        show(table)
    return re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue()).splitlines()


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.title)
def test_no_word_of_a_table_is_cut(
    table: Table, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id can be copied, and no line is longer than the terminal is wide."""
    lines = _shown(table, width, monkeypatch)
    assert max(map(len, lines)) <= width
    words = re.split(r"[\s│:]+", "\n".join(lines))
    cells = [str(cell) for row in table.rows for cell in row]
    assert {word for cell in cells for word in re.split(r"[\s:]+", cell)} <= {*words}


@pytest.mark.parametrize("width", [60, 80])
def test_the_reason_of_a_dead_letter_has_lines_of_its_own(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the longest cell; beside the others it would have 13 columns of 80."""
    lines = _shown(LETTERS, width, monkeypatch)
    (first, _) = [number for number, line in enumerate(lines) if "Reason: " in line]
    assert lines[first].strip().startswith("Reason: ")
    assert len(lines[first].rstrip()) > 2 * PROSE_WIDTH


def test_a_row_in_a_pipe_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However long it is, its cells separated by tabs."""
    monkeypatch.setenv("COLUMNS", "60")
    show(LETTERS)
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split("\t") == ["since", "agent", "session", "job", "attempts", "reason"]
    assert rows == ["\t".join([WHEN, "energy", SESSION, JOB, "5", REASON])] * 2

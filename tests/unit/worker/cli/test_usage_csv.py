"""What was used as CSV: a file that people open in a spreadsheet."""

import csv
import io
import sys

import pytest
from click.testing import CliRunner

from memory.quotas.usage import Spent
from tasks.overview.usage import UsageRow
from worker.cli import main

MODULE = sys.modules["worker.cli.lists.usage"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+cmd|'x'!A1", "'+1+cmd|'x'!A1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("-2+3", "'-2+3"),
        ("+221771234567", "+221771234567"),
        ('ama,"kofi"\n;=1', 'ama,"kofi"\n;=1'),
        ("", ""),
    ],
)
def test_no_name_is_a_formula(name: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends jobs chooses the name of the user."""
    row = UsageRow(None, name, Spent(turns=1))
    monkeypatch.setattr(MODULE, "usage", lambda *_, **__: (row,))
    printed = CliRunner().invoke(main, ["usage", "--by", "user", "--csv"])
    assert printed.exit_code == 0
    (found,) = csv.DictReader(io.StringIO(printed.output))
    assert (found["user"], found["turns"]) == (shown, "1")

"""What `griot erase` and `griot reencrypt` say, without any server."""

import re
import sys

import pytest
from click.testing import CliRunner

from memory.upkeep.migration import Migration
from memory.upkeep.rewriting import Rewriting
from worker.cli import main

MODULE = sys.modules["worker.cli.erase"]


def test_an_erasure_of_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of zeros, or no row, looks as if it had been done; most often the id is wrong."""
    monkeypatch.setattr(MODULE, "erase_sessions_of_user", lambda *_, **__: [])
    monkeypatch.setattr(MODULE, "queue_lengths", lambda _: ())
    ended = CliRunner().invoke(main, ["erase", "user", "ama", "--dry-run"])
    assert ended.exit_code == 0
    assert ended.stderr == "griot: no session is kept of user ama: is the id right?\n"


def test_a_re_encryption_without_keys_names_no_keys_to_remove(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There are none."""
    sys.modules["worker.cli.records.reencrypt"]._say(Rewriting(0), has_keys=False)
    assert capsys.readouterr().out.endswith("all is plain: GRIOT_ENCRYPTION_KEYS is not set\n")


@pytest.mark.parametrize(
    ("migration", "progress", "says"),
    [
        (Migration(is_dry=True), Rewriting(1), "nothing is to be written again"),
        (Migration(is_dry=True, old=3), Rewriting(1), "3 records are to be written again: run"),
        (Migration(old=3), Rewriting(1, written=3), "3 records written again"),
        (Migration(), Rewriting(1, busy=2), "2 records changed during the run: run it again"),
        (Migration(), Rewriting(1, unreadable=4), "4 records cannot be read here and stay"),
    ],
)
def test_a_migration_says_what_is_left_to_do(
    migration: Migration, progress: Rewriting, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With how many records of each kind have which version."""
    migration.versions["job", 2] = 5
    sys.modules["worker.cli.records.migrate"]._say(migration, progress)
    said = capsys.readouterr().out
    assert says in said
    assert re.search(r"job\s+2\s+5", said)

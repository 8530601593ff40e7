"""What `griot erase` and `griot reencrypt` say, without any server."""

import sys

import pytest
from click.testing import CliRunner

from memory.upkeep.reencryption import Reencryption
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
    sys.modules["worker.cli.reencrypt"]._say(Reencryption(0), has_keys=False)
    assert capsys.readouterr().out.endswith("all is plain: GRIOT_ENCRYPTION_KEYS is not set\n")

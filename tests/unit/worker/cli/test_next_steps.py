"""The commands that others name as the next step."""

from pathlib import Path

import pytest

from worker.cli.next_steps import CHECKOUT, IN_CHECKOUT, program


def test_a_command_is_said_as_it_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout, where nobody has activated its environment, by the path."""
    monkeypatch.chdir(CHECKOUT)
    assert program() == IN_CHECKOUT
    monkeypatch.chdir(tmp_path)
    assert program() == "griot"

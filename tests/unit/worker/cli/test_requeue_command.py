"""`griot dead-letters requeue` without any server: usage, reports, Ctrl-C."""

import signal
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from tasks.submit.dead_letters import Requeued
from worker.cli import main

MODULE = sys.modules["worker.cli.dead_letters"]
"""Not `worker.cli.dead_letters`, which is the command that has its name."""


@pytest.fixture(autouse=True)
def no_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """None was given up."""
    monkeypatch.setattr(MODULE, "webhook_letters", lambda: iter(()))


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["dead-letters", "requeue", *arguments])


@pytest.mark.parametrize("arguments", [[], ["j1", "--all"], ["j1", "--reason", "x"]])
def test_either_ids_or_a_choice_is_given(arguments: list[str]) -> None:
    """Neither sends everything by mistake, and both would contradict each other."""
    ended = _run(*arguments)
    assert ended.exit_code == 2
    assert "give either job ids or some of --all, --kind, --reason and --since" in ended.output


def test_ctrl_c_stops_after_the_job_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """That one is sent whole and counted; the command says how to go on, and ends with 130."""

    def interrupted(*_: object) -> Iterator[Requeued]:
        signal.raise_signal(signal.SIGINT)
        yield Requeued("j1", "j1~r1")
        yield Requeued("j2", "j2~r1")

    monkeypatch.setattr(MODULE, "requeue_all", interrupted)
    before = signal.getsignal(signal.SIGINT)
    ended = _run("--all")
    assert ended.exit_code == 130
    assert ended.stdout == "j1 is sent again as j1~r1\n"
    assert ended.stderr == "1 sent again\nstopped; run the command again for the rest\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis may not answer."""

    def interrupted(*_: object) -> Iterator[Requeued]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield Requeued("j1", "j1~r1")

    monkeypatch.setattr(MODULE, "requeue_all", interrupted)
    ended = _run("--all")
    assert (ended.exit_code, ended.stdout) == (130, "")

"""The command line without any server: help, usage, errors, exit codes."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from kombu.exceptions import OperationalError

from llm import OllamaUnreachableError
from memory import MemoryUnavailable
from sandbox.errors import BinaryMissing
from tasks import Priority
from tasks.errors import InvalidJob
from worker.cli import main
from worker.cli.group import CommandFailed, Commands
from worker.cli.send.command import send_command

README = (Path(__file__).resolve().parents[4] / "README.md").read_text("utf-8")
COMMANDS = (
    *(
        "demo",
        "serve",
        "keys",
        "schedules",
        "archive",
        "worker",
        "beat",
        "up",
        "check",
        "chat",
        "send",
        "cancel",
        "trace",
        "jobs",
        "usage",
        "agents",
        "sessions",
        "stats",
        "status",
        "top",
        "dead-letters",
    ),
    *("erase", "export", "import", "reencrypt", "audit", "migrate"),
    *("pause", "resume", "drain"),
)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_teaches_with_a_summary_and_an_example(name: str) -> None:
    """`griot COMMAND --help` ends with 0, has a one-line summary and an example."""
    help_of = CliRunner().invoke(main, [name, "--help"])
    assert help_of.exit_code == 0
    assert "Example:" in help_of.output
    assert f"griot {name}" in help_of.output
    assert name in CliRunner().invoke(main, ["--help"]).output


def test_the_help_names_every_command() -> None:
    """`griot --help` and README list all commands that there are, no more and no fewer."""
    assert set(main.commands) == set(COMMANDS)
    (listed,) = re.findall(r"`griot --help` lists the tools: (.*?)\. ", README, re.DOTALL)
    assert set(re.findall(r"`([a-z-]+)`", listed)) == set(COMMANDS)


def test_the_help_has_each_command_once_in_a_section_with_a_whole_sentence() -> None:
    """The list is in sections, so that 32 commands can be looked over; no summary is cut off."""
    sections = main.sections
    assert sorted(one.name or "" for section in sections.values() for one in section) == sorted(
        main.commands
    )
    listed = CliRunner().invoke(main, ["--help"]).output
    assert all(f"\n{title}:\n" in listed for title in sections)
    for name in ("", "archive", "dead-letters", "erase", "export", "keys", "schedules"):
        _usage, _, rest = CliRunner().invoke(main, [*name.split(), "--help"]).output.partition("\n")
        assert "..." not in rest


@pytest.mark.parametrize(
    "arguments",
    [
        *(["no-such-command"], ["chat", "energy"], ["stats", "--history", "0"], ["sessions"]),
        *(["pause", "--for", "5m"], ["pause", "--reason", "new disk"]),
        *([word, kind] for word in ("pause", "resume") for kind in ("agent", "model", "server")),
        *(["pause", "all", "energy"], ["resume", "all", "energy"], ["dead-letters", "requeue"]),
        *(["usage", "--from", "2026-11-31"], ["send", __file__, "--priority", "urgent"]),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    """Exit code 2 tells wrong usage from failure."""
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize("priority", [one.value for one in Priority])
def test_send_takes_each_priority_by_its_word(priority: str) -> None:
    """As the help's own example has it, and as delay does."""
    context = send_command.make_context("send", [__file__, "--priority", priority])
    assert context.params["priority"] == priority


def test_days_that_end_before_they_begin_are_no_bill_of_nothing() -> None:
    """`griot usage` and its brothers refuse them, before anything is asked."""
    ended = CliRunner().invoke(main, ["usage", "--from", "2026-11-30", "--to", "2026-11-01"])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "the first day, 2026-11-30, is after the last, 2026-11-01" in ended.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryUnavailable("it is away"),
        OllamaUnreachableError("it is away"),
        InvalidJob("it is away"),
        BinaryMissing("it is away"),
        OperationalError("it is away"),
        OSError("it is away"),
        CommandFailed("it is away"),
    ],
)
def test_a_failure_is_one_line_and_1(error: Exception) -> None:
    """What fails below becomes one line on standard error, no traceback, and exit code 1."""
    ended = CliRunner().invoke(_group_raising(error), ["act"])
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("griot: ")
    assert "it is away" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_ctrl_c_ends_with_130() -> None:
    """Ctrl-C is told from failure by the shell's own code, and says nothing."""
    ended = CliRunner().invoke(_group_raising(KeyboardInterrupt()), ["act"])
    assert (ended.exit_code, ended.output) == (130, "")


def test_a_fault_of_our_own_is_not_hidden() -> None:
    """An error that is no failure of a service keeps its traceback."""
    ended = CliRunner().invoke(_group_raising(ZeroDivisionError()), ["act"])
    assert isinstance(ended.exception, ZeroDivisionError)


def _group_raising(error: BaseException) -> click.Group:
    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command()
    def act() -> None:
        raise error

    return group

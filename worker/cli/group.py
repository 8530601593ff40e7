"""The group of all commands: what fails becomes one line on standard error, and an exit code."""

import sys
from typing import IO

import click
from kombu.exceptions import OperationalError

from llm import LLMError
from memory import MemoryServiceError, MemoryUnavailable
from tasks.errors import ChatError
from tasks.process.configuration import BROKER, load_settings
from worker.checks.advice import advice_on, is_refusal
from worker.checks.tls import tls_findings
from worker.cli.console import note, printable
from worker.extras import HAS_SANDBOX, OR_TRY
from worker.standard_streams import lost_output
from worker.unknown_settings import warnings_of_unknown

INTERRUPTED = 130  # as a shell has it: 128 and the number of SIGINT
TELL_THEMSELVES = ("check", "demo", "up", "worker", "beat")
"""Commands that look for themselves whether the servers can be used."""
_HELP = {"-h", "--help"}
WHOLE = 1000
"""Characters of a first sentence that the list of commands shows: none is cut off."""
FAILURES: tuple[type[Exception], ...] = (MemoryServiceError, LLMError, ChatError, OSError)
if HAS_SANDBOX:
    from sandbox.errors import SandboxError

    FAILURES = (*FAILURES, SandboxError)


class CommandFailed(click.ClickException):
    """What was asked for could not be done: exit code 1, which is click's own."""

    def show(self, file: IO[str] | None = None) -> None:
        """Print the message to standard error."""
        click.echo(f"griot: {printable(self.message)}", file=file or sys.stderr)


class Group(click.Group):
    """A group whose help has the first sentence of each command whole, and maybe sections."""

    def __init__(self, *args: object, **options: object) -> None:
        """As click's, without sections."""
        super().__init__(*args, **options)  # type: ignore[arg-type]  # all of them, as they are
        self.sections: dict[str, tuple[click.Command, ...]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands, which the help lists together, in this order, under the title."""
        self.sections[title] = commands
        for command in commands:
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The sections with their commands; click cuts each summary at the end of its line."""
        all_of_them = {"Commands": tuple(map(self.commands.__getitem__, sorted(self.commands)))}
        width = max(map(len, self.commands), default=0)
        for title, commands in (self.sections or all_of_them).items():
            listed = [
                (str(one.name).ljust(width), one.get_short_help_str(limit=WHOLE))
                for one in commands
                if not one.hidden
            ]
            with formatter.section(title):
                formatter.write_dl(listed)


class Commands(Group):
    """A group whose commands end with 0 (done), 1 (failed), 2 (usage) or 130 (Ctrl-C)."""

    def main(self, *args: object, **options: object) -> object:  # type: ignore[override]  # all of them
        """Parse, run and end the process: never with 0 if its output is lost, and that is said."""
        try:
            return super().main(*args, **options)  # type: ignore[call-overload]
        except SystemExit as end:
            if not (reason := lost_output()):
                raise
            failure = CommandFailed(f"standard output cannot be written: {reason}")
            failure.show()
            sys.exit(end.code or failure.exit_code)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that was asked for. Where an address says TLS to a server without it, that
        is told at once: Redis' client needs three time-outs to find out that nobody answers."""
        name, command, rest = super().resolve_command(ctx, args)
        if not ctx.resilient_parsing and name not in TELL_THEMSELVES and not _HELP & set(rest):
            for wrong in tls_findings(load_settings(), only_secure=True).values():
                raise CommandFailed(f"{wrong.found}; {wrong.advice}")
        return name, command, rest

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        for line in warnings_of_unknown():
            note(f"griot: {line}")
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe has left
        except (OperationalError, MemoryUnavailable) as exc:
            raise CommandFailed(_why_away(exc)) from exc
        except FAILURES as exc:
            raise CommandFailed(str(exc)) from exc
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


def _why_away(error: OperationalError | MemoryUnavailable) -> str:
    for wrong in tls_findings(load_settings()).values():
        return f"{wrong.found}; {wrong.advice}"
    if isinstance(error, MemoryUnavailable):
        return f"{error}{OR_TRY}"
    said = str(error).rstrip(".")
    if is_refusal(error):
        return f"the broker refuses the connection ({said}); {advice_on(error, BROKER)}"
    return f"the broker does not answer ({said}); `griot check` says what to do{OR_TRY}"

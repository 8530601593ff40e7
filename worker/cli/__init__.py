"""The command line: `griot`, or `python -m worker.cli`."""

from typing import NoReturn

import click

from worker.cli.agents import agents
from worker.cli.archive.command import archive_command
from worker.cli.audit import audit_command
from worker.cli.cancel import cancel
from worker.cli.charts.command import stats
from worker.cli.chat.command import chat
from worker.cli.check import check
from worker.cli.dead_letters import dead_letters
from worker.cli.erase import erase_command
from worker.cli.group import CommandFailed, Commands
from worker.cli.keys import keys
from worker.cli.lists.jobs import jobs_command
from worker.cli.lists.usage import usage_command
from worker.cli.operate.drain import drain
from worker.cli.operate.pause import pause, resume
from worker.cli.records.migrate import migrate
from worker.cli.records.reencrypt import reencrypt_command
from worker.cli.schedules import schedules
from worker.cli.send.command import send_command
from worker.cli.sessions import sessions
from worker.cli.status import status
from worker.cli.top.command import top
from worker.cli.trace import trace
from worker.cli.transfer import export, import_
from worker.cli.up import up
from worker.extras import HAS_GATEWAY, HAS_SANDBOX, needs_sandbox
from worker.start.commands import beat, worker

__all__ = ["main"]


def _no_demo() -> NoReturn:
    raise CommandFailed(needs_sandbox("griot demo"))


if HAS_SANDBOX:
    from worker.cli.demo.command import demo
else:
    demo = click.Command("demo", callback=_no_demo, help="Say what the demo needs.", hidden=True)


def _no_gateway() -> NoReturn:
    raise CommandFailed("`griot serve` needs Griot's gateway: pip install './griot[gateway]'")


if HAS_GATEWAY:
    from worker.cli.serve import serve
else:
    serve = click.Command("serve", callback=_no_gateway, help="Say what the gateway needs.")

_HELP = """Griot answers chat jobs in order, exactly once, and remembers.

Settings come from the environment and `.env`; docs/operations.md lists them.
Exit codes: 0 done, 1 what was asked for failed, 2 wrong usage, 78 wrong settings,
130 Ctrl-C.
`griot COMMAND --help` has examples of each command.

\b
Begin with:
"""
_WITH_SANDBOX = """\
  griot demo              a conversation from nothing, with real servers
  griot up --sandbox      all processes, and what they need, on this machine
"""
_WITHOUT_SANDBOX = """\
  griot check             whether all that a worker needs is there
"""
_ALWAYS = """\
  griot chat energy me-1  talk to an agent
  griot top               what runs and what waits, live"""


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=_HELP + (_WITH_SANDBOX if HAS_SANDBOX else _WITHOUT_SANDBOX) + _ALWAYS,
)
@click.version_option(package_name="griot", prog_name="griot")
def main() -> None:
    """Run one of the commands."""


main.add_section("Start", demo, up, check, worker, beat, serve, keys)
main.add_section("Messages", chat, send_command, schedules, cancel)
main.add_section("Look", status, top, jobs_command, trace, usage_command, stats, audit_command)
main.add_section("Step in", pause, resume, drain, dead_letters)
main.add_section(
    "What is kept",
    *(agents, sessions, archive_command, export, import_, erase_command),
    *(migrate, reencrypt_command),
)

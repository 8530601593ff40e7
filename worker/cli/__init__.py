"""The command line: `griot`, or `python -m worker.cli`."""

import click

from worker.cli.cancel import cancel
from worker.cli.chat import chat
from worker.cli.check import check
from worker.cli.dead_letters import dead_letters
from worker.cli.demo import demo
from worker.cli.group import Commands
from worker.cli.sessions import sessions
from worker.cli.stats import stats
from worker.cli.status import status
from worker.cli.up import up

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="griot", prog_name="griot")
def main() -> None:
    """Griot answers chat jobs in order, exactly once, and remembers.

    Settings come from the environment and `.env`; docs/operations.md lists them.
    Exit codes: 0 done, 1 what was asked for failed, 2 wrong usage, 130 Ctrl-C.

    \b
    Begin with:
      griot demo              a conversation from nothing, with real servers
      griot up --sandbox      all processes, and what they need, on this machine
      griot chat energy me-1  talk to an agent
    """


for command in (demo, up, check, chat, cancel, sessions, stats, status, dead_letters):
    main.add_command(command)

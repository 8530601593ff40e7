"""The command: which way a conversation goes on depends on what it is held through."""

import asyncio
import sys

import click
from prompt_toolkit.utils import is_dumb_terminal

from tasks import OnBusy
from worker.cli.chat.conversation import Conversation
from worker.cli.chat.pipe import Pipe
from worker.cli.chat.terminal import TerminalChat
from worker.cli.console import is_terminal

SHOWN_MESSAGES = 10


@click.command()
@click.argument("agent")
@click.argument("session")
@click.option("--model", help="A model other than the agent's.")
@click.option(
    "--on-busy",
    type=click.Choice([way.value for way in OnBusy]),
    default=OnBusy.ENQUEUE.value,
    show_default=True,
    help="What a message does to those that the session is still answering.",
)
@click.option(
    "--last",
    type=click.IntRange(0, 1000),
    default=SHOWN_MESSAGES,
    show_default=True,
    help="Messages of the history shown at the start.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Each line is a message, each event a line of JSON."
)
def chat(  # noqa: PLR0917  # click gives them by name
    agent: str, session: str, model: str | None, on_busy: str, last: int, as_json: bool
) -> None:
    """Talk to AGENT in SESSION; the reply is shown as it comes.

    In a terminal: Ctrl-C cancels the reply (what was said so far is kept, marked as cancelled), and
    leaves where none comes; Ctrl-D leaves; /help shows the commands. A message that is typed
    while a reply comes waits for its turn, or does what --on-busy says. In a pipe each line is a
    message, and the replies go to standard output; the exit code is 1 if one of them failed.

    \b
    Example:
      griot chat energy me-1
      echo "What is the WAPP?" | griot chat energy me-1
      echo "What is the WAPP?" | griot chat energy me-1 --json | jq -r 'select(.type=="done").text'
    """
    talk = Conversation(agent, session, OnBusy(on_busy), model)
    if sys.stdin.isatty() and is_terminal() and not (as_json or is_dumb_terminal()):
        raise click.exceptions.Exit(asyncio.run(TerminalChat(talk, last=last).run()))
    pipe = Pipe(talk, as_json=as_json)
    pipe.talk_through(sys.stdin)
    if pipe.failures:
        raise click.exceptions.Exit(1)

"""`griot erase`: remove what people said."""

from collections.abc import Sequence
from dataclasses import asdict

import click

from memory.ids import shown_id
from tasks import app
from tasks.submit.erase import (
    ErasureReceipt,
    erase,
    erase_rest,
    sessions_of_agent,
)
from tasks.submit.erase import erase_user as erase_sessions_of_user
from worker.cli.console import Table, json_option, note, say, show, show_json
from worker.cli.group import Group
from worker.cli.known_agents import note_unknown
from worker.cli.status import queue_lengths

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Only say what is kept; erase nothing."
)


@click.group(cls=Group, name="erase")
def erase_command() -> None:
    """Erase what is kept of a session, of an agent, or of a user.

    History, summary, events, dead letters, session data and results are deleted. Jobs that wait or
    run end as erased. It cannot be undone: look with --dry-run first.

    \b
    Example:
      griot erase session energy session-1 --dry-run
      griot erase agent energy
      griot erase user ama@example.org --dry-run
    """


@erase_command.command(name="session")
@click.argument("agent")
@click.argument("session")
@dry_run_option
@json_option
def erase_one(agent: str, session: str, dry_run: bool, as_json: bool) -> None:
    """Erase SESSION of AGENT; session data too, if no other agent has the session.

    \b
    Example:
      griot erase session energy session-1 --dry-run
    """
    note_unknown(agent)
    receipts = [erase(app, agent, session, dry_run=dry_run)]
    if_none = f"nothing is kept of session {shown_id(session)} of agent {shown_id(agent)}"
    _print(receipts, if_none, as_json=as_json, dry_run=dry_run)


@erase_command.command(name="agent")
@click.argument("agent")
@dry_run_option
@json_option
def erase_agent(agent: str, dry_run: bool, as_json: bool) -> None:
    """Erase all sessions of AGENT, and its state.

    \b
    Example:
      griot erase agent energy
    """
    note_unknown(agent)
    receipts = [erase(app, *one, dry_run=dry_run) for one in sessions_of_agent(agent)]
    if not dry_run:
        erase_rest(agent)
    _print(
        receipts, f"no session is kept of agent {shown_id(agent)}", as_json=as_json, dry_run=dry_run
    )


@erase_command.command(name="user")
@click.argument("user")
@click.option(
    "--shared", is_flag=True, help=("Also erase, as a whole, sessions in which other users wrote.")
)
@dry_run_option
@json_option
def erase_user(user: str, shared: bool, dry_run: bool, as_json: bool) -> None:
    """Erase all sessions of USER, the `user_id` of the jobs' metadata.

    Without --shared, a session in which other users wrote is neither erased nor listed.

    \b
    Example:
      griot erase user ama@example.org --dry-run
    """
    receipts = erase_sessions_of_user(app, user, is_shared=shared, dry_run=dry_run)
    _print(
        receipts, f"no session is kept of user {shown_id(user)}", as_json=as_json, dry_run=dry_run
    )


def _print(
    receipts: Sequence[ErasureReceipt], if_none: str, *, as_json: bool, dry_run: bool
) -> None:
    unreadable = sum(queue.quarantined for queue in queue_lengths(app))
    if as_json:
        show_json({"sessions": receipts, "erased": not dry_run, "quarantined": unreadable})
        return
    names = ("messages", "summaries", "letters", "events", "data", "pending", "ended")
    rows = [
        (one.agent_id, one.session_id, *(asdict(one.kept)[name] for name in names))
        for one in receipts
    ]
    title = "Kept" if dry_run else "Erased"
    show(Table(title, ("Agent", "Session", *(name.capitalize() for name in names)), rows))
    if not any(any(counts) for _, _, *counts in rows):
        note(f"griot: {if_none}: is the id right?")
    if unreadable:
        say(
            f"{unreadable} messages in quarantine cannot be read; they may contain "
            "conversations too"
        )

"""`griot archive`: what has left Redis for the archive, and whether it goes on."""

import click

from memory import index
from memory.archive.state import last_run
from memory.archive.store import Archive
from memory.ids import shown_id
from memory.records import history
from tasks.process.services import ProducerServices, producer_services
from worker.cli.console import Table, ago, json_option, limit_option, note, show, show_json
from worker.cli.group import CommandFailed, Group
from worker.cli.known_agents import note_unknown

NO_ARCHIVE = "ARCHIVE_URL is not set: histories expire; set it as the workers have it"


@click.group(cls=Group, name="archive", invoke_without_command=True)
@click.pass_context
@json_option
def archive_command(context: click.Context, as_json: bool) -> None:
    """Show what is in the archive, and how the archiver is doing.

    Histories go there before they leave Redis: those whose time is over, and the oldest messages of
    those that are longer than HISTORY_MAX_MESSAGES. A session that is spoken to again is read back.

    \b
    Example:
      griot archive
      griot archive list energy
      griot archive show energy me-1
    """
    if context.invoked_subcommand is not None:
        return
    services = producer_services()
    of, run = _file(services).content(), last_run(services.memory, services.keyspace)
    if as_json:
        show_json({"content": of, "last_run": run})
        return
    now_ms = services.memory.run(index.server_time_ms())
    row = (
        *(of.conversations, of.messages, f"{of.size_bytes / 1_000_000:.1f} MB"),
        None if of.oldest_ms is None else ago(of.oldest_ms, now_ms=now_ms),
        "never" if run is None else ago(run.at_ms, now_ms=now_ms),
        (run and run.error) or "none",
    )
    columns = ("Conversations", "Messages", "Size", "Oldest", "Last run", "Trouble")
    show(Table("Archive", columns, [row]))


@archive_command.command(name="list")
@click.argument("agent")
@limit_option
@json_option
def list_sessions(agent: str, limit: int, as_json: bool) -> None:
    """List the sessions of AGENT that the archive has something of, last archived first.

    \b
    Example:
      griot archive list energy
      griot archive list energy --json | jq -r '.[].session_id'
    """
    note_unknown(agent)
    services = producer_services()
    found = _file(services).sessions(agent, at_most=limit)
    if as_json:
        show_json(found)
        return
    now_ms = services.memory.run(index.server_time_ms())
    rows = [(one.session_id, one.messages, ago(one.written_ms, now_ms=now_ms)) for one in found]
    show(Table(f"Archived sessions of {agent}", ("Session", "Messages", "Archived"), rows))


@archive_command.command(name="show")
@click.argument("agent")
@click.argument("session")
@limit_option
def show_session(agent: str, session: str, limit: int) -> None:
    """Show the last messages that the archive has of SESSION of AGENT, as JSON, oldest first.

    \b
    Example:
      griot archive show energy me-1 --limit 10
    """
    services = producer_services()
    keys = services.keyspace.session(agent, session)
    part = _file(services).newest(keys, at_most=limit)
    if part is None:
        note(f"griot: nothing is archived of session {shown_id(session)}: is the id right?")
    show_json([] if part is None else history.decode(keys, part.records).messages)


def _file(services: ProducerServices) -> Archive:
    if services.archive is None:
        raise CommandFailed(NO_ARCHIVE)
    return services.archive

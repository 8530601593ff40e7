"""`griot export` and `griot import`: a session as a file."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import IO

import click

from memory import CorruptData, InvalidInput
from memory.archive.reading import kept_elsewhere, messages_elsewhere
from memory.ids import shown_id
from memory.upkeep.transfer import exported, restore
from memory.upkeep.transfer_file import MovedSchedule, Transfer, as_lines, read, renamed
from tasks.job.schedule import Schedule
from tasks.process.services import ProducerServices, producer_services
from worker.cli.console import note
from worker.cli.group import Group
from worker.cli.known_agents import note_unknown


@click.group(cls=Group, name="export")
def export() -> None:
    """Write what is kept, to look at it, to move it, or to hand it to a person who asks for it.

    \b
    Example:
      griot export session energy me-1 > me-1.jsonl
    """


@export.command(name="session")
@click.argument("agent")
@click.argument("session")
@click.option(
    "-o", "--output", "file", type=click.File("wb"), default="-", help="A file; else the output."
)
def export_session(agent: str, session: str, file: IO[bytes]) -> None:
    """Write SESSION of AGENT as JSON lines: history, summary, data, users, jobs that wait or died.

    What is in the archive (ARCHIVE_URL) comes first.

    Each line has its "kind". The first is the header; the last counts the lines. `griot import`
    brings the session back, its schedules too; of jobs it leaves out what it finds. Not in the
    file: the agent's state, which belongs to all of its sessions, live events, and results in
    Celery's backend.

    \b
    Example:
      griot export session energy me-1 -o me-1.jsonl
      griot export session energy me-1 | jq -r 'select(.kind == "message") .message.content'
    """
    note_unknown(agent)
    services = producer_services()
    memory, keyspace = services.memory, services.keyspace
    keys = keyspace.session(agent, session)
    elsewhere = partial(kept_elsewhere, memory, keyspace, services.archive, keys)
    for line in as_lines(exported(memory, keyspace, agent, session, elsewhere=elsewhere)):
        file.write(line)


@click.command(name="import")
@click.argument("file", type=click.File("rb"))
@click.option("--agent", help="Import it for this agent instead of the file's.")
@click.option("--session", help="Import it as this session instead of the file's.")
@click.option("--force", is_flag=True, help="Replace what the session has.")
def import_(file: IO[bytes], agent: str | None, session: str | None, force: bool) -> None:
    """Bring a session back from FILE (- for the input), as `griot export session` wrote it.

    The session must be empty: no history (in the archive neither), no jobs that wait, none of the
    data in the file. With --force its history and summary are replaced, and those data; other data
    stay, and so do jobs that wait. If a line of the file is bad, its number is told and nothing is
    written. Times to live are those of the export, counted from now. Jobs in the file are not sent
    again; schedules go on, and those of another session have new ids.

    An import that was cut off by a failure of Redis may be repeated with --force.

    \b
    Example:
      griot import me-1.jsonl
      griot import me-1.jsonl --session me-2
      ssh other griot export session energy me-1 | griot import -
    """
    services = producer_services()
    kept = services.settings.memory
    found = read(
        _lines(file),
        most_messages=kept.held_messages,
        max_bytes=kept.max_value_bytes,
        most_bytes=kept.held_bytes,
    )
    transfer = _with_schedules(renamed(found, agent, session))
    _restore(services, transfer, is_forced=force)
    note(
        f"session {shown_id(transfer.session_id)} of agent {shown_id(transfer.agent_id)} was "
        f"imported: {len(transfer.messages)} messages, {len(transfer.values)} values of "
        f"session data, {len(transfer.schedules)} schedules"
    )
    for kind, lines in transfer.left_out.items():
        note(f"skipped: {lines} lines of kind {kind}, which cannot be imported")


def _restore(services: ProducerServices, transfer: Transfer, *, is_forced: bool) -> None:
    memory, keyspace = services.memory, services.keyspace
    keys = keyspace.session(transfer.agent_id, transfer.session_id)
    restore(
        memory,
        keyspace,
        transfer,
        default_ttl_s=services.settings.ttl_of(transfer.agent_id),
        is_forced=is_forced,
        elsewhere=messages_elsewhere(memory, keyspace, services.archive, keys),
    )


def _with_schedules(transfer: Transfer) -> Transfer:
    """The same, each schedule that of the session in which it is to be. Raises InvalidInput."""
    found = []
    for number, kept in enumerate(transfer.schedules, 1):
        try:
            one = Schedule.unpack(kept.packed)
        except CorruptData as exc:
            raise InvalidInput(f"schedule {number} of the file: {exc}") from None
        one.rhythm.check()
        one = one.moved(transfer.agent_id, transfer.session_id)
        found.append(MovedSchedule(one.schedule_id, one.pack()))
    return replace(transfer, schedules=found)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    yield from file

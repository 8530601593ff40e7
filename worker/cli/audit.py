"""`griot audit`: who cancelled, sent again, dropped, erased, exported or imported what."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from itertools import islice

import click

from memory import Connection, Keyspace, audit, index
from memory.records.audit import Record, digest_of
from tasks.process.services import producer_services
from worker.cli.console import Table, json_option, limit_option, moment, show, show_json
from worker.cli.moments import since_option

SESSIONS_LOOKED_AT = 10_000
UNFINISHED = "not finished"


@click.command(name="audit")
@limit_option
@since_option
@click.option("--about", metavar="ID", help="Only what concerns this job, session, user or agent.")
@json_option
def audit_command(limit: int, since: datetime | None, about: str | None, as_json: bool) -> None:
    """Show who cancelled, sent again, dropped, erased, exported or imported what, latest first.

    Who: GRIOT_ACTOR of the process that did it, else its user@host. A session and a user are
    recorded by a digest, so that what was erased does not live on here; while a session exists its
    id is shown, and --about finds all that is recorded of an id that you know.

    \b
    Example:
      griot audit --since 7d
      griot audit --about session-1 --json
    """
    services = producer_services()
    found = audit.records(services.memory, services.keyspace, since=since)
    chosen = (one for one in found if about is None or one.is_about(about))
    records = _named(services.memory, services.keyspace, list(islice(chosen, limit)))
    if as_json:
        show_json([{**asdict(one), "at": moment(one.at)} for one in records])
        return
    rows = [
        (
            *(moment(one.at), one.actor, one.deed, one.agent_id, one.session or one.user),
            *(one.job_id, UNFINISHED if one.outcome is None else one.outcome),
        )
        for one in records
    ]
    columns = ("At", "Who", "Deed", "Agent", "Session or user", "Job", "Outcome")
    show(Table("Audit", columns, rows))


def _named(connection: Connection, keyspace: Keyspace, records: list[Record]) -> list[Record]:
    """The records, with the ids of those sessions that still exist."""
    names = {
        digest_of(session): session
        for agent_id in {one.agent_id for one in records if one.session and one.agent_id}
        for session in _sessions(connection, keyspace, agent_id)
    }
    return [replace(one, session=names.get(one.session, one.session)) for one in records]


def _sessions(connection: Connection, keyspace: Keyspace, agent_id: str) -> Iterator[str]:
    pages = index.pages(connection, keyspace.sessions(agent_id))
    return islice((entry.member for page in pages for entry in page), SESSIONS_LOOKED_AT)

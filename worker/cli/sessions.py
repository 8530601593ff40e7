"""`griot sessions`: the sessions of an agent."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import click

from memory import Command, Connection, Keyspace, index
from memory.redis.replies import integer
from tasks.process.services import producer_services
from worker.cli.console import (
    Table,
    ago,
    json_option,
    kept_for,
    limit_option,
    moment_of,
    show,
    show_json,
    within_time_ms,
)
from worker.cli.known_agents import note_unknown


@dataclass(frozen=True, slots=True)
class Session:
    """One session of an agent. `ttl_s` is None where nothing of it is stored yet."""

    session_id: str
    messages: int
    pending: int
    last_active: str
    last_active_ms: int
    ttl_s: int | None


@click.command()
@click.argument("agent")
@limit_option
@json_option
def sessions(agent: str, limit: int, as_json: bool) -> None:
    """List the sessions of AGENT, last used first.

    \b
    Example:
      griot sessions energy
      griot sessions energy --json | jq -r '.[].session_id'
    """
    note_unknown(agent)
    services = producer_services()
    found = list(islice(sessions_of(services.memory, services.keyspace, agent), limit))
    if as_json:
        show_json(found)
        return
    now_ms = services.memory.run(index.server_time_ms())
    rows = [
        (
            session.session_id,
            session.messages,
            session.pending,
            ago(session.last_active_ms, now_ms=now_ms),
            None if session.ttl_s is None else kept_for(session.ttl_s),
        )
        for session in found
    ]
    columns = ("Session", "Messages", "Pending", "Last used", "Kept for")
    show(Table(f"Sessions of {agent}", columns, rows))


def sessions_of(connection: Connection, keyspace: Keyspace, agent_id: str) -> Iterator[Session]:
    """The sessions of an agent that hold anything, last used first; read a page at a time."""
    for page in index.pages(connection, keyspace.sessions(agent_id)):
        keys = [keyspace.session(agent_id, entry.member) for entry in page]
        calls = [
            Command(integer, parts)
            for of in keys
            for parts in (("LLEN", of.history), ("ZCARD", of.queue), ("TTL", of.history))
        ]
        numbers = iter(connection.run_each(calls))
        for entry, of, messages, pending, ttl_s in zip(
            page, keys, numbers, numbers, numbers, strict=True
        ):
            if messages or pending:
                yield Session(
                    session_id=entry.member,
                    messages=messages,
                    pending=pending,
                    last_active=moment_of(entry.seen_ms),
                    last_active_ms=within_time_ms(entry.seen_ms),
                    ttl_s=of.promised_s(ttl_s) if ttl_s >= 0 else None,
                )

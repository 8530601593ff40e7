"""`griot sessions`: the sessions of an agent."""

from dataclasses import dataclass
from datetime import UTC, datetime

import click

from memory import Command, Connection, Keyspace, index
from memory.records.index import Entry
from memory.redis.replies import integer
from tasks.process.services import producer_services
from worker.cli.console import Table, ago, duration, json_option, moment, show, show_json

CALLS_PER_SESSION = 3


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
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@json_option
def sessions(agent: str, limit: int, as_json: bool) -> None:
    """List the sessions of AGENT, last used first.

    \b
    Example:
      griot sessions energy
      griot sessions energy --json | jq -r '.[].session_id'
    """
    services = producer_services()
    found = sessions_of(services.memory, services.keyspace, agent, limit=limit)
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
            None if session.ttl_s is None else duration(session.ttl_s),
        )
        for session in found
    ]
    columns = ("Session", "Messages", "Pending", "Last used", "Kept for")
    show(Table(f"Sessions of {agent}", columns, rows))


def sessions_of(
    connection: Connection, keyspace: Keyspace, agent_id: str, *, limit: int
) -> list[Session]:
    """The sessions of an agent that hold anything, last used first, at most `limit`."""
    found: list[Session] = []
    for page in index.pages(connection, keyspace.sessions(agent_id)):
        found += _looked_at(connection, keyspace, agent_id, page)
        if len(found) >= limit:
            break
    return found[:limit]


def _looked_at(
    connection: Connection, keyspace: Keyspace, agent_id: str, page: list[Entry]
) -> list[Session]:
    calls: list[Command[int]] = []
    for entry in page:
        keys = keyspace.session(agent_id, entry.member)
        calls += [
            Command(integer, ("LLEN", keys.history)),
            Command(integer, ("ZCARD", keys.queue)),
            Command(integer, ("TTL", keys.history)),
        ]
    numbers = connection.run_each(calls)
    triples = zip(*(numbers[at::CALLS_PER_SESSION] for at in range(CALLS_PER_SESSION)), strict=True)
    return [
        Session(
            session_id=entry.member,
            messages=messages,
            pending=pending,
            last_active=moment(datetime.fromtimestamp(entry.seen_ms / 1000, UTC)),
            last_active_ms=int(entry.seen_ms),
            ttl_s=ttl_s if ttl_s >= 0 else None,
        )
        for entry, (messages, pending, ttl_s) in zip(page, triples, strict=True)
        if messages or pending
    ]

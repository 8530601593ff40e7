"""How full the mailboxes are, and how many webhooks are left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memory import Command, Connection, Keyspace, SessionKeys, dead_letters, index
from memory.errors import CorruptData
from memory.mailbox import due_list
from memory.redis.replies import integer, strings
from memory.webhooks import queue
from tasks.overview.backlog import Filler, fullest_agents, fullest_sessions

MAX_MAILBOXES = 5000
MAX_SESSIONS = 5000
FULLEST = 3


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """The sessions' mailboxes: listed for the sweeper, due now, jobs in them, dead letters.

    Jobs are counted in the first MAX_MAILBOXES mailboxes, dead letters in the MAX_SESSIONS sessions
    that had one last; `is_complete` says whether those were all.
    """

    listed: int
    due: int
    pending_jobs: int
    delayed_jobs: int
    dead_letters: int
    is_complete: bool
    fullest: tuple[Filler, ...]
    """The agents and then the sessions that have the most jobs, FULLEST of each."""


@dataclass(frozen=True, slots=True)
class WebhooksLeft:
    """Webhooks that are not delivered yet, and those that were given up."""

    pending: int
    dead_letters: int


def mailboxes(connection: Connection, keyspace: Keyspace) -> Mailboxes:
    """What waits and what was given up."""
    now_ms = connection.run(index.server_time_ms())
    listed, due, delayed = connection.run_all(
        due_list.size(keyspace.due),
        Command(integer, ("ZCOUNT", keyspace.due, "-inf", now_ms)),
        due_list.size(keyspace.delayed),
    )
    seen, later = (
        list(_sessions_of(keyspace, connection.run(_first_of(key))))
        for key in (keyspace.due, keyspace.delayed)
    )
    dead = connection.run(dead_letters.sessions(keyspace, limit=MAX_SESSIONS))
    pending = _sizes(connection, "ZCARD", [keys.queue for keys in seen])
    return Mailboxes(
        listed=listed,
        due=due,
        pending_jobs=sum(pending),
        delayed_jobs=sum(_sizes(connection, "ZCARD", [keys.delayed for keys in later])),
        dead_letters=sum(_sizes(connection, "LLEN", [keys.dead for keys in dead])),
        is_complete=max(listed, delayed) <= MAX_MAILBOXES and len(dead) < MAX_SESSIONS,
        fullest=(
            *fullest_agents(connection, keyspace, most=FULLEST),
            *fullest_sessions(seen, pending, most=FULLEST),
        ),
    )


def _first_of(due_key: str) -> Command[list[bytes]]:
    return Command(strings, ("ZRANGE", due_key, 0, MAX_MAILBOXES - 1))


def webhooks_left(connection: Connection, keyspace: Keyspace) -> WebhooksLeft:
    """What is left of the webhooks."""
    every, letters = connection.run_each(queue.counts(keyspace))
    return WebhooksLeft(every - letters, letters)


def _sizes(connection: Connection, command: str, keys: Sequence[str]) -> list[int]:
    return list(connection.run_each([Command(integer, (command, key)) for key in keys]))


def _sessions_of(keyspace: Keyspace, members: list[bytes]) -> Iterator[SessionKeys]:
    for member in members:
        try:
            yield keyspace.parse_history(member.decode(errors="replace"))
        except CorruptData:
            continue  # no mailbox of ours; the sweeper drops it and says so

"""Which agents there are and which sessions each has, by last activity.

Sorted sets, written after each write of a session: no listing ever scans the database
(docs/decisions.md). Entries
whose keys have expired are left out of a listing and dropped, unless someone uses them meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from memory.ids import is_id
from memory.keys import Keyspace
from memory.records import values
from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.connection import Connection
from memory.redis.replies import count, integer, optional, pairs, unexpected_reply

PAGE_ENTRIES = 500
SETTLED_MS = 1000
"""An entry younger than this is never dropped: its writer may be between history and index."""

_TOUCH = LuaScript.load("records", "touch")
_FORGET = LuaScript.load("records", "forget")
_FORGET_UNTIL = LuaScript.load("records", "forget_until")


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of an index, and when it was active last (ms of the server's clock).

    Another program may have written it: bytes that are no UTF-8 are in `member` as surrogates.
    """

    member: str
    seen_ms: float

    @property
    def stored(self) -> bytes:
        """The member as it lies in the index."""
        return self.member.encode(errors="surrogateescape")


def touch(keyspace: Keyspace, agent_id: str, session_id: str) -> tuple[Command[int], ...]:
    """Note that a session is active now. Send it after the write, in its pipeline.

    On a cluster several commands, as the indexes may be on different servers. Safe to repeat. A
    damaged index fails no write: it is logged (docs/decisions.md).
    """
    return touch_indexes(
        keyspace, {keyspace.sessions(agent_id): session_id, keyspace.agents: agent_id}
    )


def touch_indexes(keyspace: Keyspace, members: Mapping[str, str]) -> tuple[Command[int], ...]:
    """Note that a member of each index is active now, as `touch` does."""
    if keyspace.is_cluster:
        touches = [touch_index(key, member) for key, member in members.items()]
    else:
        touches = [_TOUCH.command(count, tuple(members), members=tuple(members.values()))]
    return tuple(ignore_corrupt(touch, 0) for touch in touches)


def touch_index(index_key: str, member: str) -> Command[int]:
    """Note that a member of one index is active now. Safe to repeat."""
    return _TOUCH.command(count, (index_key,), members=(member,))


def forget(index_key: str, entries: Sequence[Entry]) -> Command[int]:
    """Remove entries that were not active since they were read. How many went. Safe to repeat."""
    seen = [part for entry in entries for part in (entry.stored, entry.seen_ms)]
    return _FORGET.command(count, index_key, pairs=tuple(seen))


def forget_until(index_key: str, entries: Sequence[Entry], until_ms: float) -> Command[int]:
    """Remove entries that were not active after a moment. How many went. Safe to repeat."""
    members = tuple(entry.stored for entry in entries)
    return _FORGET_UNTIL.command(count, index_key, until_ms=until_ms, members=members)


def score(index_key: str, member: str) -> Command[float | None]:
    """When a member was active last, ms; None when it is not in the index."""
    return Command(optional(float), ("ZSCORE", index_key, member))


def size(index_key: str) -> Command[int]:
    """How many members an index has."""
    return Command(integer, ("ZCARD", index_key))


def newest(
    index_key: str,
    *,
    since_ms: float = -inf,
    until_ms: float = inf,
    skip: int = 0,
    limit: int,
) -> Command[list[Entry]]:
    """Entries last active between two moments, the newest first."""
    parts = ("ZRANGE", index_key, until_ms, since_ms, "BYSCORE", "REV", "LIMIT", skip, limit)
    return Command(_entries, (*parts, "WITHSCORES"))


def oldest(
    index_key: str, *, since_ms: float = -inf, until_ms: float = inf, skip: int = 0, limit: int
) -> Command[list[Entry]]:
    """Entries last active between two moments, the oldest first."""
    parts = ("ZRANGE", index_key, since_ms, until_ms, "BYSCORE", "LIMIT", skip, limit)
    return Command(_entries, (*parts, "WITHSCORES"))


def server_time_ms() -> Command[int]:
    """The server's clock; of some server of a cluster."""
    # Scores are by the server's clock, and the clocks of the processes differ.
    return Command(_time_ms, ("TIME",))


def server_time_us() -> Command[int]:
    """The same in microseconds."""
    return Command(_time_us, ("TIME",))


def live_sessions(connection: Connection, keyspace: Keyspace, agent_id: str) -> list[str]:
    """The ids of an agent's sessions that have a history or jobs waiting, last used first.

    What is found dead on the way is dropped from the index.
    """
    # The entries outlive their keys: Redis expires a history without a word to the index.
    index_key = keyspace.sessions(agent_id)
    now_ms = connection.run(server_time_ms())
    live: dict[str, None] = {}
    dead: list[Entry] = []
    for page in pages(connection, index_key):
        sessions = [keyspace.session(agent_id, entry.member) for entry in page]
        # A session with dead letters or ends only is not listed, but must be found to be erased.
        in_use = connection.run_each(
            [values.exist([one.history, one.queue, one.delayed]) for one in sessions]
        )
        kept = connection.run_each(
            [values.exist([one.dead, one.outbox, one.schedules]) for one in sessions]
        )
        for entry, is_used, is_kept in zip(page, in_use, kept, strict=True):
            if is_used:
                live[entry.member] = None
            elif not is_kept and entry.seen_ms < now_ms - SETTLED_MS:
                dead.append(entry)
    # FORGET leaves an entry that somebody has touched since it was read.
    for start in range(0, len(dead), PAGE_ENTRIES):
        connection.run(forget(index_key, dead[start : start + PAGE_ENTRIES]))
    return list(live)


def pages(
    connection: Connection, index_key: str, *, is_known: Callable[[str], bool] = is_id
) -> Iterator[list[Entry]]:
    """All entries, newest first; by score, so that what others drop meanwhile hides nothing.

    A member that is none (`is_known` says no) is left out: clean-up removes it from an index of
    ids, and names it.
    """
    until_ms = inf
    skip = 0
    while page := connection.run(
        newest(index_key, until_ms=until_ms, skip=skip, limit=PAGE_ENTRIES)
    ):
        yield [entry for entry in page if is_known(entry.member)]
        if len(page) < PAGE_ENTRIES:
            return
        # Several entries may have the last score: those that were on this page are skipped on the
        # next.
        last_ms = page[-1].seen_ms
        with_last = sum(entry.seen_ms == last_ms for entry in page)
        skip = with_last + (skip if last_ms == until_ms else 0)
        until_ms = last_ms


def oldest_pages(
    connection: Connection, index_key: str, *, since_ms: float = -inf, limit: int = PAGE_ENTRIES
) -> Iterator[list[Entry]]:
    """Entries active at `since_ms` or later, oldest first. What is used while this
    goes on may come twice, and what others drop may hide an entry until the next time. What is no
    id is left out."""
    skip = 0
    while page := connection.run(oldest(index_key, since_ms=since_ms, skip=skip, limit=limit)):
        yield [entry for entry in page if is_id(entry.member)]
        if len(page) < limit:
            return
        skip += len(page)


def agents(connection: Connection, keyspace: Keyspace, *, since_ms: float = -inf) -> list[str]:
    """The ids of the agents that were active at `since_ms` or later, oldest first."""
    pages_of_agents = oldest_pages(connection, keyspace.agents, since_ms=since_ms)
    return [entry.member for page in pages_of_agents for entry in page]


def sizes(connection: Connection, keyspace: Keyspace) -> list[tuple[str, int]]:
    """The agents, each with how many sessions it has; one whose index is damaged is named in the
    log and left out."""
    found = agents(connection, keyspace)
    asked = [ignore_corrupt(size(keyspace.sessions(agent)), -1) for agent in found]
    answers = zip(found, connection.run_each(asked), strict=True)
    return [(agent, sessions) for agent, sessions in answers if sessions >= 0]


def _entries(reply: object) -> list[Entry]:
    return [
        Entry(member.decode(errors="surrogateescape"), float(seen_ms))
        for member, seen_ms in pairs(reply)
    ]


def _time_ms(reply: object) -> int:
    return _time_us(reply) // 1000


def _time_us(reply: object) -> int:
    match reply:
        case [bytes(seconds), bytes(micros)]:
            return int(seconds) * 1_000_000 + int(micros)
    raise unexpected_reply(reply)

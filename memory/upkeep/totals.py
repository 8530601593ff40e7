"""What there is in all sessions together: counted, noted, and of the dead letters no more kept than
a bound allows."""

import heapq
import logging
from dataclasses import dataclass

from memory.ids import is_id
from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import PENDING_MS
from memory.mailbox import dead_letters
from memory.mailbox.mailbox import Mailbox
from memory.records import index
from memory.records.index import Entry
from memory.redis.command import Command, ignore_corrupt
from memory.redis.connection import Connection
from memory.redis.replies import integer, nothing

logger = logging.getLogger(__name__)

AT_ONCE = 1000
MOST_LOOKED_AT = 1000
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Totals:
    """Sessions of the index, and dead letters, in all."""

    sessions: int
    dead_letters: int


def keep_totals(connection: Connection, keyspace: Keyspace, *, max_letters: int) -> Totals:
    """Count, drop the oldest of too many dead letters, and note what there is then.

    Safe to repeat, and for several at once. Raises MemoryServiceError.
    """
    sessions = sum(size for _, size in index.sizes(connection, keyspace))
    totals = Totals(sessions, _keep_letters(connection, keyspace, max_letters))
    key = keyspace.quotas.totals
    noted = ("sessions", totals.sessions, "dead_letters", totals.dead_letters)
    connection.run_all(
        Command(nothing, ("HSET", key, *noted)), Command(integer, ("PEXPIRE", key, PENDING_MS))
    )
    return totals


def read_totals(connection: Connection, keyspace: Keyspace) -> Totals | None:
    """What was noted last; None where nothing was. Raises MemoryServiceError."""

    def read(reply: object) -> Totals | None:
        match reply:
            case [bytes(sessions), bytes(letters)] if sessions.isdigit() and letters.isdigit():
                return Totals(int(sessions), int(letters))
        return None

    names = ("sessions", "dead_letters")
    return connection.run(Command(read, ("HMGET", keyspace.quotas.totals, *names)))


def largest_history(connection: Connection, keyspace: Keyspace) -> tuple[str, int]:
    """The key of the largest history among the sessions used last, a thousand at most, and its
    bytes; '' and 0 where none is known. Raises MemoryServiceError."""
    sessions: list[SessionKeys] = []
    for agent in reversed(index.agents(connection, keyspace)):
        if len(sessions) >= MOST_LOOKED_AT:
            break
        left = MOST_LOOKED_AT - len(sessions)
        page = connection.run(index.newest(keyspace.sessions(agent), limit=left))
        sessions += [keyspace.session(agent, one.member) for one in page if is_id(one.member)]
    asked = [Command(_noted_bytes, ("HGET", keys.lease, "size")) for keys in sessions]
    sizes = connection.run_each([ignore_corrupt(one, 0) for one in asked])
    named = zip((keys.history for keys in sessions), sizes, strict=True)
    return max(named, key=lambda one: one[1], default=("", 0))


def _noted_bytes(reply: object) -> int:
    """The second number of what a lease notes of its history."""
    noted = reply.partition(b" ")[2] if isinstance(reply, bytes) else b""
    return int(noted) if noted.isdigit() else 0


def _keep_letters(connection: Connection, keyspace: Keyspace, most: int) -> int:
    """Drop the oldest letters of all sessions until there are `most`; how many there are then."""
    pages = index.pages(connection, keyspace.dead, is_known=lambda _: True)
    entries = [entry for page in pages for entry in page]
    boxes = {
        entry: Mailbox(keyspace, keys)
        for entry in entries
        if (keys := keyspace.find_session(entry.member)) is not None
    }
    asked = [Command(integer, ("LLEN", box.keys.dead)) for box in boxes.values()]
    total = sum(connection.run_each([ignore_corrupt(one, 0) for one in asked]))
    if total > most:
        total -= _drop_oldest(connection, keyspace, boxes, total - most, most)
    return total


def _drop_oldest(
    connection: Connection,
    keyspace: Keyspace,
    boxes: dict[Entry, Mailbox],
    excess: int,
    bound: int,
) -> int:
    """Drop so many letters, the oldest of all sessions first; how many went."""
    looks = [dead_letters.drop_oldest(box, most=0) for box in boxes.values()]
    none = dead_letters.DroppedLetters(0, 0)
    found = connection.run_each([ignore_corrupt(look, none) for look in looks])
    heap = [
        (one.next_ms, entry.member, entry)
        for entry, one in zip(boxes, found, strict=True)
        if one.left
    ]
    heapq.heapify(heap)
    dropped = 0
    while heap and dropped < excess:
        _, member, entry = heapq.heappop(heap)
        # Until another session has an older one.
        until_ms = heap[0][0] if heap else dead_letters.FAR_MS
        most = min(excess - dropped, AT_ONCE)
        went = connection.run(dead_letters.drop_oldest(boxes[entry], most=most, until_ms=until_ms))
        dropped += len(went.jobs)
        _name(entry.member, went.jobs, bound)
        if went.left:
            heapq.heappush(heap, (went.next_ms, member, entry))
        else:
            connection.run(index.forget(keyspace.dead, [entry]))
    return dropped


def _name(session: str, jobs: tuple[str, ...], bound: int) -> None:
    """Say which dead letters went: nothing else will."""
    more = f" and {len(jobs) - MOST_NAMED} more" if len(jobs) > MOST_NAMED else ""
    logger.warning(
        "the oldest dead letters were removed, because there are more than "
        "CHAT_MAX_DEAD_LETTERS=%d: of %s jobs %s%s",
        bound,
        session,
        ", ".join(jobs[:MOST_NAMED]),
        more,
    )

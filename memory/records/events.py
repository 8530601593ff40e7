"""A session's event stream: what happens to its jobs, token by token, for anyone who follows.

One stream per session, capped, with a TTL; the cursor of an event is its id in the stream. Losing
it loses nothing of the conversation: the history is the record.
"""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from memory.encryption.keyring import NO_KEYS, Cipher
from memory.errors import CorruptData, CursorExpired, InvalidInput
from memory.keys import Keyspace, SessionKeys
from memory.quoting import quoted
from memory.records.event import Event, EventType, packed, parsed
from memory.redis.command import Argument, Command, LuaScript
from memory.redis.replies import flag, integer, nothing, unexpected_reply

_PUBLISH = LuaScript.load("records", "publish")

logger = logging.getLogger(__name__)

MAX_EVENTS = 10_000
"""About how many events of a session are kept; the oldest go first."""
# What is trimmed unread the renewal of the lease finds: docs/decisions.md, "Cancelling takes two
# scripts, each atomic".
MAX_STOPS = 1000
# A gap is looked for where there can be one, in docs/decisions.md.
READ_EVENTS = 500
"""How many events one read of a stream gives at most; far below MAX_EVENTS, see `may_have_gap`."""
FROM_START = "0-0"
_CURSOR = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")
NEWEST = "+"
BACK_EVENTS = 500
QUEUED_TAIL = b"}}"
_NO_WORDS = NO_KEYS.cipher_of("events without text")


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of events, by its key, and what decrypts them."""

    key: str
    cipher: Cipher = field(compare=False, repr=False)


def stream_of(keys: SessionKeys) -> Stream:
    """The events of a session."""
    return Stream(keys.events, keys.cipher)


def stops_of(keyspace: Keyspace) -> Stream:
    """The jobs that their worker is to stop, as they come."""
    return Stream(keyspace.cancellations, _NO_WORDS)


def publish(
    keys: SessionKeys, events: Sequence[Event], *, ttl_s: int, token: str = "", number: int = 0
) -> Command[bool]:
    """Append events in their order, keep about MAX_EVENTS, and let the stream live `ttl_s` more,
    less a tenth at most.

    False: dropped, for `token` does not hold the session's lease; without one, for there is no
    stream. Safe to repeat: each call for a token has a higher `number`.
    """
    return _PUBLISH.command(
        flag,
        keys,
        token=token,
        number=number,
        events_max=MAX_EVENTS,
        ttl_s=ttl_s,
        messages=tuple(packed(event, keys.cipher) for event in events),
    )


def read(keys: SessionKeys, after: str, *, block_ms: int) -> Command[list[Event]]:
    """Up to READ_EVENTS events after a cursor; waits up to `block_ms` (not 0) for the first."""
    stream = stream_of(keys)
    several = read_several((stream.key,), (after,), lambda _: stream, block_ms=block_ms)
    return Command(lambda reply: several.parse(reply).get(stream.key, []), several.args)


def read_several(
    keys: Iterable[str],
    cursors: Iterable[str],
    stream_of_key: Callable[[str], Stream],
    *,
    block_ms: int | None,
) -> Command[dict[str, list[Event]]]:
    """Up to READ_EVENTS events of each stream after its cursor, of those streams that have any.

    Streams go by their keys, in the result too. On a cluster all keys must lie in one slot. Waits
    up to `block_ms` (not 0; None: not at all) for the first event of any. Raises CannotRead when
    sent.
    """
    limits: tuple[Argument, ...] = ("COUNT", READ_EVENTS)
    if block_ms is not None:
        limits += ("BLOCK", block_ms)  # 0 would wait for ever
    return Command(
        lambda reply: _read(stream_of_key, reply), ("XREAD", *limits, "STREAMS", *keys, *cursors)
    )


def read_now(stream: Stream, after: str) -> Command[list[Event]]:
    """Up to READ_EVENTS events of a stream after a cursor, without waiting.

    XRANGE: redis-py's client of a cluster asks a server where the keys of an XREAD are, each time.
    """
    args = ("XRANGE", stream.key, f"({after}", "+", "COUNT", READ_EVENTS)
    return Command(lambda reply: _events(stream.cipher, reply), args)


def may_have_gap(found: Sequence[Event]) -> bool:
    """Whether events may be missing between the cursor of a read and what it has found.

    The cap leaves MAX_EVENTS at least. So where it has removed what a reader has not seen, all that
    is kept comes after the reader's cursor, and the read was full; then ask `check_cursor`. No
    other read costs a second command (docs/decisions.md).
    """
    return len(found) >= READ_EVENTS


def check_cursor(keys: SessionKeys, cursor: str) -> Command[None]:
    """Raise CursorExpired where events after `cursor` may be missing.

    Raises InvalidInput, at once, for what is no cursor.
    """
    is_cursor = isinstance(cursor, str) and _CURSOR.fullmatch(cursor) is not None
    # Redis' numbers have 64 bits, and it answers a larger one with an error.
    if not is_cursor or max(_order(cursor)) >= 1 << 64:
        raise InvalidInput(f"{quoted(cursor)} is not a cursor: pass the `cursor` of an event")
    oldest = oldest_cursor(keys.events)

    def check(reply: object) -> None:
        if is_expired(cursor, oldest.parse(reply)):
            raise CursorExpired(cursor)

    return Command(check, oldest.args)


def check_not_ahead(keys: SessionKeys, cursor: str) -> Command[None]:
    """Raise CursorExpired where the stream's newest event comes before `cursor`: it is another
    stream than that which the cursor is of, and what it holds would never be read.

    A backup was restored, a fail-over lost events, or the server's clock was set back.
    """
    newest = last_cursor(keys.events)

    def check(reply: object) -> None:
        # With no event left, those to come are later than any cursor that a clock gave.
        if (found := newest.parse(reply)) != FROM_START and is_after(cursor, found):
            raise CursorExpired(cursor)

    return Command(check, newest.args)


def is_expired(cursor: str, oldest: str | None) -> bool:
    """Whether events after `cursor` may be missing from a stream that begins with `oldest`."""
    # Who reads from the beginning takes what is there. With no event left nobody knows what was.
    return cursor != FROM_START and (oldest is None or is_after(oldest, cursor))


def oldest_cursor(stream: str) -> Command[str | None]:
    """The cursor of the oldest event that is kept of a stream, None where there is none."""
    args = ("XRANGE", stream, "-", "+", "COUNT", 1)
    return Command(lambda reply: next(iter(_cursors(reply)), None), args)


def announce_stop(keyspace: Keyspace, job_id: str) -> Command[None]:
    """Announce to all workers that a job is to be stopped; its lease says how."""
    stop = Event(EventType.STOP, job_id, 0)
    # With ~ Redis drops whole nodes only, which is cheap and never leaves fewer.
    trimmed: tuple[Argument, ...] = ("MAXLEN", "~", MAX_STOPS)
    args = ("XADD", keyspace.cancellations, *trimmed, "*", "event", packed(stop, _NO_WORDS))
    return Command(nothing, args)


def last_cursor(stream: str) -> Command[str]:
    """The cursor of the newest event of a stream, FROM_START where there is none."""
    args = ("XREVRANGE", stream, "+", "-", "COUNT", 1)
    return Command(lambda reply: next(iter(_cursors(reply)), FROM_START), args)


def remove(keys: SessionKeys, cursors: Sequence[str]) -> Command[int]:
    """Remove events, at least one, by their cursors. How many were there."""
    return Command(integer, ("XDEL", keys.events, *cursors))


def read_back(keys: SessionKeys, before: str) -> Command[list[Event]]:
    """The events up to `before` (NEWEST, or the `before` of a cursor), the newest first."""
    args: tuple[Argument, ...] = ("XREVRANGE", keys.events, before, "-", "COUNT", BACK_EVENTS)
    return Command(lambda reply: _events(keys.cipher, reply), args)


def before(cursor: str) -> str:
    """What `read_back` takes to go on behind an event."""
    return f"({cursor}"


def is_after(cursor: str, other: str) -> bool:
    """Whether an event comes after another in their stream."""
    return _order(cursor) > _order(other)


def queued_head(job_id: str) -> bytes:
    """The `queued` event of a job up to its position, which the operation puts in that counts it.

    What ends it there is `QUEUED_TAIL`.
    """
    # ENQUEUE appends the position and QUEUED_TAIL, so that it needs no JSON.
    queued = Event(EventType.QUEUED, job_id, 0, data={"position": 0})
    return packed(queued, _NO_WORDS).removesuffix(b"0" + QUEUED_TAIL)


def scheduled(job_id: str, due_ms: int) -> bytes:
    """The `scheduled` event of a job that is due at a Unix time."""
    due = datetime.fromtimestamp(due_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return packed(Event(EventType.SCHEDULED, job_id, 0, data={"not_before": due}), _NO_WORDS)


def _read(stream_of_key: Callable[[str], Stream], reply: object) -> dict[str, list[Event]]:
    """XREAD's reply: [stream, entries] pairs, in RESP3 a map; None for nothing."""
    if reply is None:
        return {}
    if isinstance(reply, dict):
        reply = [*reply.items()]
    if not isinstance(reply, list):
        raise unexpected_reply(reply)
    found = [(key.decode(), entries) for key, entries in reply]
    return {key: _events(stream_of_key(key).cipher, entries) for key, entries in found}


def _order(cursor: str) -> tuple[int, int]:
    # As numbers: as texts 10-0 would come before 9-0.
    ms, _, number = cursor.partition("-")
    return int(ms), int(number or 0)


def _events(cipher: Cipher, entries: object) -> list[Event]:
    if not isinstance(entries, list):
        raise unexpected_reply(entries)
    return [_event(cipher, cursor, fields) for cursor, fields in entries]


def _cursors(entries: object) -> list[str]:
    # Of foreign entries, too: where a stream begins and ends they do not change.
    if not isinstance(entries, list):
        raise unexpected_reply(entries)
    return [cursor.decode() for cursor, _ in entries]


def _event(cipher: Cipher, cursor: bytes, fields: Sequence[bytes]) -> Event:
    try:
        stored = fields[fields.index(b"event") + 1]
        return parsed(stored, cipher, cursor.decode())
    except (ValueError, IndexError, CorruptData):
        return _set_aside(cursor)


def _set_aside(cursor: bytes) -> Event:
    # Not left out: a reader goes on behind the last event that it was given.
    logger.warning(
        "entry %s of an event stream was not written by Griot; readers skip it", cursor.decode()
    )
    return Event(EventType.KEEP_ALIVE, "", 0, cursor=cursor.decode())

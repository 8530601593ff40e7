"""The outbox: jobs that are over, until their result is delivered.

The script that ends a job writes its last event into the outbox of the session, in the same step.
The result lies on another server, and what follows the job in Celery is sent through a broker; so
whoever ended the job delivers both, and takes the end out then. Where it dies before that, a
sweeper notes the session in the index `outbox`, and any worker delivers (docs/decisions.md, "One
outbox").
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from memory.errors import CannotRead, CorruptData
from memory.keys import Keyspace, SessionKeys
from memory.mailbox.words import decrypted_callbacks
from memory.records import index
from memory.records.event import ENDINGS, Event, EventType, parsed
from memory.records.index import Entry
from memory.redis.command import Command, LuaScript
from memory.redis.replies import after_ok, count, integer, nothing, raw, unexpected_reply

TAKE_ENDS = LuaScript.load("mailbox", "take_ends")
DELIVERED = LuaScript.load("mailbox", "delivered")
NOTE_LATE = LuaScript.load("mailbox", "note_late")
SCRIPTS = (NOTE_LATE, TAKE_ENDS, DELIVERED)

ENDS_AT_ONCE = 20
"""A result may have a megabyte."""


@dataclass(frozen=True, slots=True)
class End:
    """How a job has ended: its last event, and what follows it in Celery, as lines of JSON.

    Nothing follows a job that was merged: its callbacks are those of the job that answers it.
    """

    job_id: str
    event: Event
    callbacks: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, keys: SessionKeys, job_id: str, stored: bytes) -> "End":
        """Read an element as TAKE_ENDS gives it. Raises CorruptData where it is none of ours, and
        CannotRead."""
        size, _, rest = stored.partition(b" ")
        if not size.isdigit() or int(size) > len(rest):
            raise CorruptData(f"the end of job {job_id!r} in its outbox is none")
        event = parsed(rest[: int(size)], keys.cipher)
        if event.type not in ENDINGS:
            raise CorruptData(f"the end of job {job_id!r} in its outbox is another event")
        return cls(job_id, event, decrypted_callbacks(keys, rest[int(size) :]))


@dataclass(frozen=True, slots=True)
class TakenEnds:
    """What the caller may deliver now; `left` ends are others', or come with the next take."""

    ends: tuple[End, ...] = ()
    corrupt: tuple[bytes, ...] = ()
    """Names of elements that cannot be read, perhaps no text; to be logged and `drop`ped."""
    unreadable: tuple[CannotRead, ...] = ()
    """Why other elements cannot be read here; to be logged and left where they are."""
    left: int = 0

    @classmethod
    def from_reply(cls, keys: SessionKeys, reply: object) -> "TakenEnds":
        """Read the reply of take_ends.lua."""
        match after_ok(reply):
            case [int(left), *found]:
                return _split(keys, found, left)
        raise unexpected_reply(reply)


def _split(keys: SessionKeys, found: Sequence[object], left: int) -> TakenEnds:
    ends, corrupt, unreadable = list[End](), list[bytes](), list[CannotRead]()
    for job, stored in zip(found[::2], found[1::2], strict=True):
        try:
            ends.append(End.parse(keys, raw(job).decode(), raw(stored)))
        except CannotRead as exc:
            unreadable.append(exc)
        except (CorruptData, UnicodeDecodeError):
            corrupt.append(raw(job))
    return TakenEnds(tuple(ends), tuple(corrupt), tuple(unreadable), left + len(unreadable))


def take(keys: SessionKeys, *, owner: str, claim_ms: int) -> Command[TakenEnds]:
    """The ends that `owner` is to deliver: its own, and those whose owner had its time.

    They are the caller's for `claim_ms`, then anybody's. Safe to repeat.
    """
    return TAKE_ENDS.command(
        partial(TakenEnds.from_reply, keys),
        keys,
        owner=owner,
        claim_ms=claim_ms,
        limit=ENDS_AT_ONCE,
    )


def end_of(keys: SessionKeys, job_id: str) -> Command[Event | None]:
    """The last event of a job whose end is not delivered; None where it is, or is damaged.

    Raises CannotRead when sent.
    """

    def read(reply: object) -> Event | None:
        try:
            stored = b"" if reply is None else raw(reply).split(b" ", 3)[3]
            return End.parse(keys, job_id, stored).event if stored else None
        except (IndexError, CorruptData):
            return None

    return Command(read, ("HGET", keys.outbox, job_id))


def delivered(keys: SessionKeys, ends: Sequence[End]) -> Command[tuple[End, ...]]:
    """Take out these ends. The ends of those jobs that were erased meanwhile: deliver them too.

    Safe to repeat.
    """
    pairs = [part for end in ends for part in (end.job_id, end.event.type.value)]
    return DELIVERED.command(_erased, keys, pairs=tuple(pairs))


def _erased(reply: object) -> tuple[End, ...]:
    jobs = [raw(job).decode() for job in after_ok(reply)]
    return tuple(End(job, Event(EventType.ERASED, job, 0)) for job in jobs)


def drop(keys: SessionKeys, corrupt: Sequence[bytes]) -> Command[None]:
    """Take out elements, at least one, that cannot be read. Safe to repeat."""
    return Command(nothing, ("HDEL", keys.outbox, *corrupt))


def size(keys: SessionKeys) -> Command[int]:
    """How many ends there are, also of jobs that ended just now."""
    return Command(integer, ("HLEN", keys.outbox))


def note_late(keyspace: Keyspace, keys: SessionKeys) -> Command[int]:
    """Note that a session has ends for long. When, in µs: another number each time."""
    return NOTE_LATE.command(count, keyspace.outbox, session=keys.history)


def late_sessions(keyspace: Keyspace, *, limit: int) -> Command[list[Entry]]:
    """The sessions that were noted, the longest ago first; members are their history keys."""
    return index.oldest(keyspace.outbox, limit=limit)


def forget(keyspace: Keyspace, entries: Sequence[Entry]) -> Command[int]:
    """Forget sessions whose outbox is empty, unless they were noted again meanwhile."""
    return index.forget(keyspace.outbox, entries)

"""What is written to an archive before it leaves Redis, and what is read back from it.

The place of a message in its conversation is counted from the first one. `archive:{H}` names the
history and says how many of its messages have left Redis; both change in the step that removes
them. So an archiver that dies anywhere writes the same messages to the same places again.
"""

import hashlib
from dataclasses import dataclass, field
from typing import TypeAlias

from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import ARCHIVE_HOLD_S, ARCHIVE_LOCK_MS, SESSION_TTL_S
from memory.records import index
from memory.records.summary import revision
from memory.redis.command import Command, LuaScript
from memory.redis.replies import (
    after_ok,
    code_and_count,
    count,
    integer,
    is_ok,
    nothing,
    optional,
    strings,
    unexpected_reply,
)

_LOOK = LuaScript.load("records", "archive_look")
_TAKE = LuaScript.load("records", "archive_take")
_TAKEN = LuaScript.load("records", "archive_taken")
_READ_BACK = LuaScript.load("records", "read_back")
HOLD_MS = ARCHIVE_HOLD_S * 1000
_ALL = ":*"
"""Behind the beginning of the keys of an agent's histories: all of them. No id has it."""
Place: TypeAlias = tuple[str, int]
"""The name of a history, and the place of its first message that is in Redis."""
MOST_AT_ONCE = 200
"""Messages of one session that are taken in one step."""


@dataclass(frozen=True, slots=True)
class Stay:
    """What stays in Redis of a history that is in use."""

    messages: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a conversation on its way to or from the archive, as it lies in Redis.

    `first` is the place of the first record; of a part that is the end, `text` and `until` are the
    summary, and `is_all` says that nothing of the conversation stays in Redis.
    """

    generation: str
    first: int
    records: tuple[bytes, ...] = field(repr=False)
    text: bytes = field(default=b"", repr=False)
    until: bytes = field(default=b"", repr=False)
    is_all: bool = False


def look(keys: SessionKeys, stay: Stay) -> Command[int]:
    """For how many ms the archive should have taken something of the session; 0: nothing is to be
    taken. A TTL from before there was an archive is lengthened. Safe to repeat."""
    return _LOOK.command(
        count, keys, keep=stay.messages, most_bytes=stay.size_bytes, hold_ms=HOLD_MS
    )


def take(keys: SessionKeys, stay: Stay, generation: str) -> Command[Part | None]:
    """The oldest messages that the archive is to take. They stay until `taken`. Safe to repeat."""
    return _TAKE.command(
        _part,
        keys,
        generation=generation,
        keep=stay.messages,
        most_bytes=stay.size_bytes,
        hold_ms=HOLD_MS,
        most=MOST_AT_ONCE,
    )


def taken(keys: SessionKeys, part: Part) -> Command[bool]:
    """Remove what the archive has written. False where it is not there as it was: it is taken
    again if it must be. Safe to repeat."""
    oldest, newest = (
        hashlib.sha1(one, usedforsecurity=False).hexdigest()
        for one in (part.records[0], part.records[-1])
    )
    return _TAKEN.command(
        lambda reply: code_and_count(reply)[0] == b"OK",
        keys,
        generation=part.generation,
        first=part.first,
        taken=len(part.records),
        oldest=oldest,
        newest=newest,
        is_all=int(part.is_all),
        hold_ms=HOLD_MS,
    )


def place(keys: SessionKeys) -> Command[Place | None]:
    """The name of a history, and the place of its first message; None: nothing of it has left."""
    return Command(_place, ("HMGET", keys.archive, "generation", "first"))


def readable(keyspace: Keyspace, keys: SessionKeys) -> tuple[Command[bytes], Command[bool]]:
    """What to ask before `read_back`: which history the session has, and whether what is archived
    of it may be read; else it is being deleted."""
    return revision(keys), is_readable(keyspace, keys)


def is_readable(keyspace: Keyspace, keys: SessionKeys) -> Command[bool]:
    """Whether nobody wants what is archived of a session to be forgotten."""
    whole = _all_of(keyspace, keys.agent_id)
    return Command(_is_none, ("ZMSCORE", keyspace.archive_forgotten, keys.history, whole))


def read_back(
    keys: SessionKeys, part: Part, *, job_id: str, attempt: int, rev: bytes
) -> Command[bool]:
    """Let a session without a history go on with a part of its conversation, for the job that runs.
    False where it has a history, or the job does not run any more. Safe to repeat."""
    return _READ_BACK.command(
        lambda reply: code_and_count(reply)[0] == b"OK",
        keys,
        job=job_id,
        attempt=attempt,
        rev=rev,
        generation=part.generation,
        first=part.first,
        text=part.text,
        last=part.until,
        ttl_ms=keys.held_s(SESSION_TTL_S) * 1000,
        records=part.records,
    )


def came_back(keys: SessionKeys, job_id: str) -> Command[int]:
    """How many messages an attempt at this job has read back into the history."""

    def amount(noted: bytes) -> int:
        messages, _, job = noted.partition(b" ")
        return int(messages) if messages.isdigit() and job == job_id.encode() else 0

    def read(reply: object) -> int:
        return optional(amount)(reply) or 0

    return Command(read, ("HGET", keys.archive, "back"))


def forget(keyspace: Keyspace, keys: SessionKeys) -> list[Command[int]]:
    """Have the archiver delete what is archived of a session. Goes before its history is removed.
    Until then nothing is read back. Nothing where there is no archive. Safe to repeat."""
    if not keyspace.has_archive:
        return []
    return [index.touch_index(keyspace.archive_forgotten, keys.history)]


def forget_agent(keyspace: Keyspace, agent_id: str) -> list[Command[int]]:
    """The same for all sessions of an agent."""
    if not keyspace.has_archive:
        return []
    return [index.touch_index(keyspace.archive_forgotten, _all_of(keyspace, agent_id))]


def agent_forgotten(keyspace: Keyspace, member: str) -> str | None:
    """The agent of whom a member of the list of `forget` says that all is forgotten."""
    if not member.endswith(_ALL):
        return None
    keys = keyspace.find_session(member.removesuffix(_ALL) + ":x")
    return None if keys is None else keys.agent_id


def take_lock(keyspace: Keyspace, name: str) -> Command[bool]:
    """Become the one process that archives; False where there is another one."""
    return Command(is_ok, ("SET", keyspace.archive_lock, name, "NX", "PX", ARCHIVE_LOCK_MS))


def lock_holder(keyspace: Keyspace) -> Command[bytes | None]:
    """The process that archives."""
    return Command(optional(bytes), ("GET", keyspace.archive_lock))


def renew_lock(keyspace: Keyspace) -> Command[int]:
    """Go on being the one, which the caller is."""
    return Command(integer, ("PEXPIRE", keyspace.archive_lock, ARCHIVE_LOCK_MS))


def release_lock(keyspace: Keyspace) -> Command[int]:
    """Let another one archive."""
    return Command(integer, ("UNLINK", keyspace.archive_lock))


def note_run(keyspace: Keyspace, packed: bytes) -> Command[None]:
    """Note what a run has come to, for operators."""
    return Command(nothing, ("SET", keyspace.archive_run, packed))


def last_run(keyspace: Keyspace) -> Command[bytes | None]:
    """What the last run has come to; None where there was none."""
    return Command(optional(bytes), ("GET", keyspace.archive_run))


def _all_of(keyspace: Keyspace, agent_id: str) -> str:
    return keyspace.session(agent_id, "x").history.removesuffix(":x") + _ALL


def _is_none(reply: object) -> bool:
    if isinstance(reply, list):
        return all(one is None for one in reply)
    raise unexpected_reply(reply)


def _part(reply: object) -> Part | None:
    match after_ok(reply):
        case [
            bytes(generation), int(first), int(is_all), bytes(text), bytes(until), list(records)
        ]:  # fmt: skip
            if not records:
                return None
            found = tuple(strings(records))
            return Part(generation.decode(), first, found, text, until, bool(is_all))
    raise unexpected_reply(reply)


def _place(reply: object) -> tuple[str, int] | None:
    match reply:
        case [bytes(generation), bytes() | None as first] if (first or b"0").isdigit():
            return generation.decode(errors="replace"), int(first or 0)
        case [None, _]:
            return None
    raise unexpected_reply(reply)

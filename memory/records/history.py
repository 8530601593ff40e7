"""The history of a conversation: a list of messages, JSON, oldest first."""

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from memory.encryption.keyring import MARK
from memory.keys import SessionKeys
from memory.lifetimes import DEDUPE_MS
from memory.records.codec import Decoded, decode_messages
from memory.records.events import MAX_EVENTS
from memory.records.limits import MAX_HISTORY_BYTES
from memory.redis.command import Command, LuaScript
from memory.redis.replies import count, integer, strings

logger = logging.getLogger(__name__)

SLICE_BYTES = 4 * 1024 * 1024
"""So much of a history is decoded at a time, in about 6 ms."""

_APPEND = LuaScript.load("records", "append")
_REPLACE = LuaScript.load("records", "replace")
_CLEAR = LuaScript.load("records", "clear")
_ERASE = LuaScript.load("records", "erase")
_EXTEND = LuaScript.load("records", "extend")


MESSAGE = "message"
"""What an encrypted element of a history is about."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How many keys held something, how many jobs ended, and which of them a worker must stop."""

    keys: int = 0
    jobs: int = 0
    running: str = ""


def new_write_id() -> bytes:
    """A new id for one write: however often its command is sent, it acts once."""
    return os.urandom(12)


def read(keys: SessionKeys, *, at_most: int) -> Command[Decoded]:
    """The last `at_most` messages, oldest first. What is no message is left out, with a warning."""
    return Command(
        lambda reply: decode(keys, strings(reply)), ("LRANGE", keys.history, -at_most, -1)
    )


def decode(keys: SessionKeys, stored: Sequence[bytes]) -> Decoded:
    """The messages among elements of this history; what is none is left out, with a warning.

    Raises CannotRead.
    """
    return _told(keys, decode_messages(decrypted(keys, stored)))


async def decode_in_slices(keys: SessionKeys, stored: Sequence[bytes]) -> Decoded:
    """The same on an event loop, which others get in between: 32 MB take 50 ms."""
    if sum(map(len, stored)) < SLICE_BYTES:
        return decode(keys, stored)
    messages: list[dict[str, JsonValue]] = []
    places: list[int] = []
    begin, size_bytes = 0, 0
    for end, element in enumerate(stored, start=1):
        size_bytes += len(element)
        if size_bytes >= SLICE_BYTES or end == len(stored):
            part = decode_messages(decrypted(keys, stored[begin:end]))
            messages += part.messages
            places += [begin + place for place in part.places]
            begin, size_bytes = end, 0
            await asyncio.sleep(0)
    return _told(keys, Decoded(messages, len(stored) - len(messages), tuple(places)))


def _told(keys: SessionKeys, decoded: Decoded) -> Decoded:
    if decoded.corrupt:
        logger.warning(
            "%s contains %d elements that are not messages; they are skipped; remove them",
            keys.history,
            decoded.corrupt,
        )
    return decoded


def decrypted(keys: SessionKeys, stored: Sequence[bytes]) -> list[bytes]:
    """Elements of this history as they were encoded. Raises CannotRead."""
    decrypted = keys.cipher.decrypted
    return [decrypted(one, MESSAGE) if one.startswith(MARK) else one for one in stored]


def encrypted(keys: SessionKeys, records: Iterable[bytes]) -> tuple[bytes, ...]:
    """Encoded messages as they lie in this history."""
    return tuple(keys.cipher.encrypted(one, MESSAGE) for one in records)


def elements(keys: SessionKeys, first: int, last: int) -> Command[list[bytes]]:
    """The elements of a history from place `first` to `last`, as they were encoded."""
    args = ("LRANGE", keys.history, first, last)
    return Command(lambda reply: decrypted(keys, strings(reply)), args)


def stored(keys: SessionKeys, *, at_most: int) -> Command[list[bytes]]:
    """The last `at_most` elements of a history as they lie there, oldest first."""
    return Command(strings, ("LRANGE", keys.history, -at_most, -1))


def remove_one(keys: SessionKeys, element: bytes) -> Command[int]:
    """Remove an element, as `stored` gives it: 1, or 0 where it is gone."""
    return Command(integer, ("LREM", keys.history, 1, element))


def append(
    keys: SessionKeys,
    records: Sequence[bytes],
    *,
    write_id: bytes,
    keep: int,
    most_bytes: int = MAX_HISTORY_BYTES,
    ttl_s: int,
    is_exact: bool,
) -> Command[int]:
    """Add encoded messages, keep the last `keep`, with `most_bytes` at most, renew the TTL. How
    many there are now. The oldest turns go, whole; what is added stays.

    The TTL becomes `ttl_s`; unless `is_exact`, a longer one stays. Safe to repeat.
    """
    # An append that names no TTL only lengthens it: docs/decisions.md, "COMMIT never shortens a
    # session's life".
    return _APPEND.command(
        count,
        keys,
        write_id=write_id,
        keep=keep,
        most_bytes=most_bytes,
        ttl_ms=keys.held_s(ttl_s) * 1000,
        is_exact=int(is_exact),
        dedupe_ms=DEDUPE_MS,
        records=encrypted(keys, records),
    )


def replace(
    keys: SessionKeys, records: Sequence[bytes], *, write_id: bytes, ttl_s: int
) -> Command[int]:
    """Write encoded messages, at least one, over all others. How many there were before.

    What waits in the session's mailbox stays. Safe to repeat.
    """
    return _REPLACE.command(
        count,
        keys,
        write_id=write_id,
        ttl_ms=keys.held_s(ttl_s) * 1000,
        dedupe_ms=DEDUPE_MS,
        records=encrypted(keys, records),
    )


def clear(keys: SessionKeys, *, write_id: bytes) -> Command[int]:
    """Remove all messages. How many there were. What waits stays. Safe to repeat."""
    return _CLEAR.command(count, keys, write_id=write_id, dedupe_ms=DEDUPE_MS)


def erase(keys: SessionKeys, *, write_id: str, grace_ms: int) -> Command[Erased]:
    """Remove all words of a session; its jobs end as erased. Safe to repeat.

    `write_id` names who delivers their ends within `grace_ms` (`outbox.take`).
    """
    return _ERASE.command(
        _erased,
        keys,
        write_id=write_id,
        owner=write_id,
        grace_ms=grace_ms,
        events_max=MAX_EVENTS,
        dedupe_ms=DEDUPE_MS,
    )


def extend(keys: SessionKeys, *, ttl_s: int) -> Command[int]:
    """Let history, events and summary live at least `ttl_s` longer. How many of them exist.

    Safe to repeat.
    """
    return _EXTEND.command(count, keys, ttl_ms=keys.held_s(ttl_s) * 1000)


def _erased(reply: object) -> Erased:
    match reply:
        case [b"OK", int(keys), int(jobs), bytes(running)]:
            return Erased(keys, jobs, running.decode())
    count(reply)  # REPEATED, or CORRUPT, which raises
    return Erased()


def find_reply(messages: Iterable[bytes], job_id: str) -> bytes | None:
    """The assistant's message, as it was encoded, that the turn of `job_id` wrote.

    The messages of a turn name it in `job_id`. Others, and what is no message, are passed over. Of
    a turn that was cancelled before the assistant had said anything: the question, marked as such.
    """
    # The last one counts: in a cancelled turn the partial answer comes after the question.
    found = None
    for message in messages:
        # Cheaper than decoding messages that other programs wrote.
        if b'"job_id"' not in message:
            continue
        for fields in decode_messages((message,)).messages:
            if fields.get("job_id") == job_id and (
                fields["role"] == "assistant" or is_cancelled(fields)
            ):
                found = message
    return found


def is_cancelled(message: Mapping[str, object]) -> bool:
    """Whether a message of the history is of a turn that was cancelled while it was computed."""
    return message.get("cancelled") is True

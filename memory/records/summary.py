"""The summary of a session's earlier turns: kept beside the history, it replaces no message."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import SUMMARY_CLAIM_MS
from memory.records import history
from memory.redis.command import Command, LuaScript
from memory.redis.replies import (
    code_and_count,
    integer,
    is_ok,
    optional,
    unexpected_reply,
)

_SUMMARISE = LuaScript.load("records", "summarise")


SUMMARY, UNTIL = "summary", "until"
"""What the encrypted fields of a summary are about."""
NAME_BYTES = 16


@dataclass(frozen=True, slots=True)
class Summary:
    """The earlier turns in short; `until` names the last message that is in it."""

    text: str = field(repr=False)
    until: bytes = b""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a new summary is made from: the raw messages that are in no summary yet, oldest first.

    `claim` and `rev` identify the history that they are from.
    """

    claim: bytes
    rev: bytes
    so_far: Summary | None
    messages: tuple[bytes, ...] = field(repr=False)


def read(keys: SessionKeys) -> Command[Summary | None]:
    """The summary of a session, if it has one."""
    return Command(lambda reply: _summary(keys, reply), ("HMGET", keys.summary, "text", "until"))


def claim(keys: SessionKeys, name: bytes) -> tuple[Command[int], Command[int]]:
    """Claim the session's next summary. Only the last claim counts."""
    return (
        Command(integer, ("HSET", keys.summary, "claim", name)),
        # A summary that is there keeps its own TTL.
        Command(integer, ("PEXPIRE", keys.summary, SUMMARY_CLAIM_MS, "NX")),
    )


def revision(keys: SessionKeys) -> Command[bytes]:
    """Which history this is: it changes when the history is replaced or removed."""
    return Command(lambda reply: optional(bytes)(reply) or b"", ("HGET", keys.lease, "rev"))


def all_but(keys: SessionKeys, shown_messages: int) -> Command[list[bytes]]:
    """All messages but the last `shown_messages`, oldest first."""
    return history.elements(keys, 0, -shown_messages - 1)


def keep(keys: SessionKeys, earlier: Earlier, summary: Summary) -> Command[bool]:
    """Keep a summary as long as the history; False where that is another one by now.

    MemoryFull when sent and Redis is out of memory. Safe to repeat.
    """
    # The history may have been replaced while the model wrote: a summary of the old one must not
    # stand before the new one.
    text, last = encrypted(keys, summary)
    return _SUMMARISE.command(
        lambda reply: code_and_count(reply)[0] == b"OK",
        keys,
        claim=earlier.claim,
        rev=earlier.rev,
        text=text,
        last=last,
    )


def encrypted(keys: SessionKeys, summary: Summary) -> tuple[bytes, bytes]:
    """Text and name of the last message as they lie in Redis; an empty text is no summary."""
    # Stripped, so that it does not begin as a record does (memory.encryption.keyring).
    text = summary.text.strip().encode(errors="surrogatepass")
    if not text:
        return b"", b""
    return keys.cipher.encrypted(text, SUMMARY), keys.cipher.encrypted(summary.until, UNTIL)


def decoded(keys: SessionKeys, text: bytes, until: bytes) -> Summary:
    """`encrypted` the other way round. Raises CannotDecrypt."""
    plain = keys.cipher.decrypted(text, SUMMARY).decode(errors="replace")
    return Summary(plain, _until(keys, until))


def prolong(keys: SessionKeys, *, ttl_s: int) -> Command[int]:
    """Let a summary live at least `ttl_s`, as COMMIT does with the history. Safe to repeat."""
    return Command(integer, ("EXPIRE", keys.summary, keys.held_s(ttl_s), "GT"))


def name_of(message: bytes) -> bytes:
    """A name for a message as it was encoded."""
    # A message has no id of its own; its bytes never change.
    return blake2b(message, digest_size=NAME_BYTES).digest()


def not_in(summary: Summary | None, messages: Sequence[bytes]) -> tuple[bytes, ...]:
    """The messages after the last one that is in the summary; all where it is not among them."""
    if summary is not None:
        # From the end: equal messages have one name, and what is in a summary is not put in again.
        for at in range(len(messages) - 1, -1, -1):
            if name_of(messages[at]) == summary.until:
                return tuple(messages[at + 1 :])
    return tuple(messages)


# One worker in the fleet makes a summary at a time: it holds the summary lock. Each user's message
# removes the lock, so that no message waits for a summary (docs/decisions.md).


def take_lock(keyspace: Keyspace, name: bytes, *, ttl_ms: int) -> Command[bool]:
    """Take the summary lock for `ttl_ms`; False where another worker has it."""
    args = ("SET", keyspace.summary_lock, name, "NX", "PX", ttl_ms)
    return Command(is_ok, args)


def lock_holder(keyspace: Keyspace) -> Command[bytes | None]:
    """The name of the worker that makes a summary now."""
    return Command(optional(bytes), ("GET", keyspace.summary_lock))


def lock_left_ms(keyspace: Keyspace) -> Command[int]:
    """How long the lock still holds; negative where it is free, or never ends."""
    return Command(integer, ("PTTL", keyspace.summary_lock))


def renew_lock(keyspace: Keyspace, *, ttl_ms: int) -> Command[int]:
    """Prolong the lock by its holder."""
    return Command(integer, ("PEXPIRE", keyspace.summary_lock, ttl_ms))


def remove_lock(keyspace: Keyspace) -> Command[int]:
    """Remove the lock for a user's message: the worker that makes a summary looks at the lock and
    stops."""
    # Whoever holds it: docs/decisions.md, "Summaries are made in the workers, not by Celery tasks".
    return Command(integer, ("DEL", keyspace.summary_lock))


def _until(keys: SessionKeys, stored: bytes) -> bytes:
    # A name that is not encrypted may begin with any byte; one that is, is longer.
    return stored if len(stored) <= NAME_BYTES else keys.cipher.decrypted(stored, UNTIL)


def _summary(keys: SessionKeys, reply: object) -> Summary | None:
    match reply:
        case [bytes(stored), bytes() | None as until]:
            return decoded(keys, stored, until or b"")
        case [None, _]:
            return None
    raise unexpected_reply(reply)

"""The summary of a session's earlier turns: kept beside the history, it replaces no message."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import SUMMARY_CLAIM_MS
from memory.redis.command import Command, LuaScript
from memory.redis.replies import (
    code_and_count,
    integer,
    is_ok,
    optional,
    strings,
    unexpected_reply,
)

_SUMMARISE = LuaScript.load("records", "summarise")


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
    return Command(_summary, ("HMGET", keys.summary, "text", "until"))


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
    return Command(strings, ("LRANGE", keys.history, 0, -shown_messages - 1))


def keep(keys: SessionKeys, earlier: Earlier, summary: Summary) -> Command[bool]:
    """Keep a summary as long as the history; False where that is another one by now.

    MemoryFull when sent and Redis is out of memory. Safe to repeat.
    """
    # The history may have been replaced while the model wrote: a summary of the old one must not
    # stand before the new one.
    return _SUMMARISE.command(
        lambda reply: code_and_count(reply)[0] == b"OK",
        keys,
        claim=earlier.claim,
        rev=earlier.rev,
        text=summary.text,
        last=summary.until,
    )


def prolong(keys: SessionKeys, *, ttl_s: int) -> Command[int]:
    """Let a summary live at least `ttl_s`, as COMMIT does with the history. Safe to repeat."""
    return Command(integer, ("EXPIRE", keys.summary, ttl_s, "GT"))


def name_of(message: bytes) -> bytes:
    """A name for a message as it is stored."""
    # A message has no id of its own; its bytes never change.
    return blake2b(message, digest_size=16).digest()


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


def _summary(reply: object) -> Summary | None:
    match reply:
        case [bytes(text), bytes() | None as until]:
            return Summary(text.decode(errors="replace"), until or b"")
        case [None, _]:
            return None
    raise unexpected_reply(reply)

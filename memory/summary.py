"""The summary of a session's earlier turns: kept beside the history, and never in its place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from memory.call import Call, Script
from memory.keys import Keyspace, SessionKeys
from memory.replies import code, count, integer, optional, strings, unexpected

CLAIM_MS = 600_000
"""How long the claim on a first summary is kept that is never made."""

_SUMMARISE = Script.load("summarise")


@dataclass(frozen=True, slots=True)
class Summary:
    """What was said earlier, in short; `until` names the last message that is in it."""

    text: str = field(repr=False)
    until: bytes = b""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a new summary is made from, in raw messages, oldest first: those that are in none yet.

    `claim` and `rev` say of which history.
    """

    claim: bytes
    rev: bytes
    so_far: Summary | None
    messages: tuple[bytes, ...] = field(repr=False)


def read(keys: SessionKeys) -> Call[Summary | None]:
    """The summary of a session, if it has one."""
    return Call(_summary, ("HMGET", keys.summary, "text", "until"))


def claim(keys: SessionKeys, name: bytes) -> tuple[Call[int], Call[int]]:
    """Claim the session's next summary: one who claimed it before can keep none any more."""
    return (
        Call(integer, ("HSET", keys.summary, "claim", name)),
        Call(integer, ("PEXPIRE", keys.summary, CLAIM_MS, "NX")),
    )


def revision(keys: SessionKeys) -> Call[bytes]:
    """Which history this is: it changes when the history is replaced or removed."""
    return Call(lambda reply: optional(bytes)(reply) or b"", ("HGET", keys.lease, "rev"))


def all_but(keys: SessionKeys, shown_messages: int) -> Call[list[bytes]]:
    """All messages but the last `shown_messages`, oldest first."""
    return Call(strings, ("LRANGE", keys.history, 0, -shown_messages - 1))


def keep(keys: SessionKeys, earlier: Earlier, summary: Summary) -> Call[bool]:
    """Keep a summary as long as the history; False where that is another one by now.

    MemoryFull when sent and Redis is out of memory. Safe to repeat.
    """
    return Call(
        _is_kept,
        (earlier.claim, earlier.rev, summary.text, summary.until),
        keys=(keys.history, keys.lease, keys.summary),
        script=_SUMMARISE,
    )


def prolong(keys: SessionKeys, *, ttl_s: int) -> Call[int]:
    """Let a summary live at least `ttl_s`, as COMMIT does with the history. Safe to repeat."""
    return Call(integer, ("EXPIRE", keys.summary, ttl_s, "GT"))


def name_of(message: bytes) -> bytes:
    """A name for a message as it is stored."""
    return blake2b(message, digest_size=16).digest()


def not_in(summary: Summary | None, messages: Sequence[bytes]) -> tuple[bytes, ...]:
    """The messages after the last one that is in the summary; all where it is not among them."""
    if summary is not None:
        for at in range(len(messages) - 1, -1, -1):
            if name_of(messages[at]) == summary.until:
                return tuple(messages[at + 1 :])
    return tuple(messages)


# One summary is made at a time, by whoever holds the turn. Every user's message takes it away.


def take_turn(keyspace: Keyspace, name: bytes, *, ttl_ms: int) -> Call[bool]:
    """Ask to be the one that makes a summary now."""
    args = ("SET", keyspace.summarising, name, "NX", "PX", ttl_ms)
    return Call(lambda reply: reply == b"OK", args)


def whose_turn(keyspace: Keyspace) -> Call[bytes | None]:
    """Who makes a summary now."""
    return Call(optional(bytes), ("GET", keyspace.summarising))


def hold_turn(keyspace: Keyspace, *, ttl_ms: int) -> Call[int]:
    """Go on making it."""
    return Call(integer, ("PEXPIRE", keyspace.summarising, ttl_ms))


def give_way(keyspace: Keyspace) -> Call[int]:
    """A user's message goes first: whoever makes a summary stops within a moment."""
    return Call(integer, ("DEL", keyspace.summarising))


def _summary(reply: object) -> Summary | None:
    match reply:
        case [bytes(text), bytes(until)]:
            return Summary(text.decode(errors="replace"), until)
        case [None, None]:
            return None
    raise unexpected(reply)


def _is_kept(reply: object) -> bool:
    count(reply)
    return code(reply) == b"OK"

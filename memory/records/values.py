"""The state of an agent and the data of a session: one JSON value per key."""

from collections.abc import Sequence

from pydantic import JsonValue

from memory.errors import CorruptData
from memory.ids import is_id
from memory.keys import Keyspace
from memory.records.codec import decode_value
from memory.records.swap import swap_value
from memory.redis.command import Command, LuaScript
from memory.redis.replies import count, integer, is_ok, optional, strings

_NOTE_FIELDS = LuaScript.load("records", "note_fields")
_EXTEND_VALUE = LuaScript.load("records", "extend_value")

OWN_TTL = b"\n"
"""The end of a value that was given a TTL of its own; JSON may have blanks around it."""
VALUE = "value"
"""What an encrypted value is about."""
GONE, OF_SESSION, OWN = 0, 1, 2
"""Answers of `extend_by_session`."""


def save(
    keyspace: Keyspace, key: str, encoded: bytes, *, ttl_s: int, is_own: bool
) -> Command[bool]:
    """Write one value; `is_own`: its TTL is not the session's. Safe to repeat."""
    stored = keyspace.cipher_of(key).encrypted(encoded, VALUE)
    return Command(is_ok, ("SET", key, stored + OWN_TTL if is_own else stored, "EX", ttl_s))


def save_new(
    keyspace: Keyspace, key: str, encoded: bytes, *, ttl_s: int, is_own: bool
) -> Command[bool]:
    """`save`, unless there is a value: whether it was written. Of several at once, one writes."""
    save_it = save(keyspace, key, encoded, ttl_s=ttl_s, is_own=is_own)
    return Command(is_ok, (*save_it.args, "NX"))


def decrypted(keyspace: Keyspace, key: str, stored: bytes) -> bytes:
    """A value as it was encoded, without OWN_TTL. Raises CannotRead."""
    return keyspace.cipher_of(key).decrypted(stored.removesuffix(OWN_TTL), VALUE)


def load(keyspace: Keyspace, key: str) -> Command[JsonValue]:
    """One value; None when there is none. CorruptData when it is no JSON, and CannotRead."""

    def read(stored: bytes) -> JsonValue:
        return decode_value(decrypted(keyspace, key, stored), what=key)

    return Command(optional(read), ("GET", key))


def load_mapping(keyspace: Keyspace, key: str) -> Command[dict[str, JsonValue] | None]:
    """One JSON object; None when there is none. CorruptData when it is something else, and
    CannotRead."""

    def read(stored: bytes) -> dict[str, JsonValue]:
        value = decode_value(decrypted(keyspace, key, stored), what=key)
        if not isinstance(value, dict):
            raise CorruptData(f"{key} is not a JSON object")
        return value

    return Command(optional(read), ("GET", key))


def stored(key: str) -> Command[bytes | None]:
    """One value as it lies there, for `put_in_place`; None where there is none."""
    return Command(optional(bytes), ("GET", key))


def put_in_place(keyspace: Keyspace, key: str, encoded: bytes, *, of: bytes) -> Command[int]:
    """Write one value in the place `of` another, as `stored` gave it: 1, or 0 where it is another
    one now, or none. Its TTL stays, and whose it is."""
    new = keyspace.cipher_of(key).encrypted(encoded, VALUE)
    return swap_value(key, of, new + OWN_TTL if of.endswith(OWN_TTL) else new)


def extend(key: str, *, ttl_s: int) -> Command[int]:
    """Let a key live at least `ttl_s` longer: 1, or 0 where it lives longer or is not there."""
    # GT takes a key without a TTL for one that lives for ever, and leaves it so.
    return Command(integer, ("EXPIRE", key, ttl_s, "GT"))


def extend_by_session(key: str, *, ttl_s: int) -> Command[int]:
    """Let a value live at least `ttl_s` longer, unless it has a TTL of its own.

    GONE, OF_SESSION, or OWN where its TTL stays.
    """
    return _EXTEND_VALUE.command(count, key, ttl_ms=ttl_s * 1000)


def whose_ttl(key: str) -> Command[int]:
    """Whether a value lives as long as its session: GONE, OF_SESSION, or OWN."""
    return _EXTEND_VALUE.command(count, key, ttl_ms=1)


def exist(keys: Sequence[str]) -> Command[int]:
    """How many of the keys, at least one, are there; on a cluster all in one slot."""
    return Command(integer, ("EXISTS", *keys))


def remove(key: str) -> Command[int]:
    """Remove one key: 1, or 0 where it was not there."""
    # UNLINK frees a large value in a thread of its own, DEL while everybody waits.
    return Command(integer, ("UNLINK", key))


def note_fields(
    keyspace: Keyspace, session_id: str, names: Sequence[str], *, ttl_s: int, is_exact: bool
) -> Command[int]:
    """Note which data keys a session has, each for `ttl_s`. How many it has. Safe to repeat."""
    return _NOTE_FIELDS.command(
        count,
        keyspace.session_fields(session_id),
        ttl_ms=ttl_s * 1000,
        is_exact=int(is_exact),
        names=tuple(names),
    )


def field_names(keyspace: Keyspace, session_id: str, *, at_most: int) -> Command[list[str]]:
    """The names of a session's data keys, those that live longest first."""
    key = keyspace.session_fields(session_id)
    return Command(_names, ("ZRANGE", key, 0, at_most - 1, "REV"))


def _names(reply: object) -> list[str]:
    # A member that cannot be a name is of another program; nothing lies under it.
    found = (name.decode(errors="replace") for name in strings(reply))
    return [name for name in found if is_id(name)]

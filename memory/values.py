"""The state of an agent and the data of a session: one JSON value per key."""

from collections.abc import Sequence

from pydantic import JsonValue

from memory.call import Call, Script
from memory.codec import decode_value
from memory.errors import CorruptData
from memory.keys import Keyspace
from memory.replies import count, integer, is_ok, optional, strings

_NOTE_FIELDS = Script.load("note_fields")


def save(key: str, encoded: bytes, *, ttl_s: int) -> Call[bool]:
    """Write one value. Safe to repeat."""
    return Call(is_ok, ("SET", key, encoded, "EX", ttl_s))


def load(key: str) -> Call[JsonValue]:
    """One value; None when there is none. CorruptData when it is no JSON."""
    return Call(optional(lambda raw: decode_value(raw, what=key)), ("GET", key))


def load_mapping(key: str) -> Call[dict[str, JsonValue] | None]:
    """One JSON object; None when there is none. CorruptData when it is something else."""

    def read(raw: bytes) -> dict[str, JsonValue]:
        value = decode_value(raw, what=key)
        if not isinstance(value, dict):
            raise CorruptData(f"{key} is not a JSON object")
        return value

    return Call(optional(read), ("GET", key))


def extend(key: str, *, ttl_s: int) -> Call[int]:
    """Let a key live at least `ttl_s` longer: 1, or 0 where it lives longer or is not there."""
    return Call(integer, ("EXPIRE", key, ttl_s, "GT"))


def exist(keys: Sequence[str]) -> Call[int]:
    """How many of the keys, at least one, are there; on a cluster all in one slot."""
    return Call(integer, ("EXISTS", *keys))


def remove(key: str) -> Call[int]:
    """Remove one key: 1, or 0 where it was not there."""
    return Call(integer, ("UNLINK", key))


def note_fields(
    keyspace: Keyspace, session_id: str, names: Sequence[str], *, ttl_s: int, is_exact: bool
) -> Call[int]:
    """Note which data keys a session has, each for `ttl_s`. How many it has. Safe to repeat."""
    return Call(
        count,
        (ttl_s * 1000, int(is_exact), *names),
        keys=(keyspace.session_fields(session_id),),
        script=_NOTE_FIELDS,
    )


def field_names(keyspace: Keyspace, session_id: str, *, at_most: int) -> Call[list[str]]:
    """The names of a session's data keys, those that live longest first."""
    key = keyspace.session_fields(session_id)
    return Call(_names, ("ZRANGE", key, 0, at_most - 1, "REV"))


def _names(reply: object) -> list[str]:
    return [name.decode(errors="replace") for name in strings(reply)]

"""Writing anew what lies in Redis, each record only if it is still the one that was read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from memory.redis.command import Command, LuaScript
from memory.redis.replies import count

_SWAP_VALUE = LuaScript.load("records", "swap_value")
_SWAP_FIELDS = LuaScript.load("records", "swap_fields")
_SWAP_ELEMENTS = LuaScript.load("records", "swap_elements")
_SWAP_STREAM = LuaScript.load("records", "swap_stream")

Entry = tuple[bytes, Sequence[bytes]]
"""The id of an entry of a stream, and its fields and values."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A record that is to be written anew: where it was read, what it was, what it becomes."""

    place: bytes | int
    old: bytes = field(repr=False)
    new: bytes = field(repr=False)


def swap_value(key: str, old: bytes, new: bytes) -> Command[int]:
    """Write a value anew; its TTL stays. 1, or 0 where it is another one now."""
    return _SWAP_VALUE.command(count, key, old=old, new=new)


def swap_fields(key: str, swaps: Sequence[Swap]) -> Command[int]:
    """Write fields of a hash anew; how many were still the same."""
    return _SWAP_FIELDS.command(count, key, swaps=_flat(swaps))


def swap_elements(key: str, swaps: Sequence[Swap]) -> Command[int]:
    """Write elements of a list anew; how many were still there."""
    return _SWAP_ELEMENTS.command(count, key, swaps=_flat(swaps))


def swap_stream(key: str, entries: Sequence[Entry]) -> Command[int]:
    """Write all entries of a stream anew, at least one, with the ids that they have.

    TTL and cursors stay. How many; 0 where an entry came or went meanwhile.
    """
    parts: list[bytes | int] = []
    for name, facts in entries:
        parts += [name, len(facts), *facts]
    last_id, _ = entries[-1]
    return _SWAP_STREAM.command(
        count, key, length=len(entries), last_id=last_id, entries=tuple(parts)
    )


def _flat(swaps: Sequence[Swap]) -> tuple[bytes | int, ...]:
    return tuple(part for one in swaps for part in (one.place, one.old, one.new))

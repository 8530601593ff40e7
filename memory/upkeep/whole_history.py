"""All of a history: what is in Redis, and what an archive has of it, each message once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from memory.keys import SessionKeys
from memory.records import archived, history, summary
from memory.records.archived import Part, Place
from memory.records.summary import Summary
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import integer

Elsewhere: TypeAlias = Callable[[Place | None], Part | None]
"""What an archive has of a session, but for the messages from a place on, which Redis has."""
TRIES = 10
"""An archiver that takes all of a history changes its place twice."""


@dataclass(frozen=True, slots=True)
class WholeHistory:
    """The messages as they are stored, but decrypted, the oldest first; the TTL as Redis says it,
    seconds; the summary."""

    stored: list[bytes] = field(repr=False)
    ttl_s: int
    summary: Summary | None = field(repr=False)


def read_whole(
    connection: Connection, keys: SessionKeys, elsewhere: Elsewhere | None
) -> WholeHistory:
    """All of a history. Raises MemoryServiceError."""
    for _ in range(TRIES):
        look = archived.place(keys)
        place, stored, still = connection.run_all(look, history.elements(keys, 0, -1), look)
        ttl_s, kept = connection.run_all(
            Command(integer, ("TTL", keys.history)), summary.read(keys)
        )
        part = elsewhere(place) if elsewhere is not None else None
        # What leaves Redis from here on is not asked for: the archive has it behind this place. A
        # history of which nothing had left has no place yet, so nothing of it may have left since.
        if place == still and (place or not part or _is_as_it_was(connection, keys, stored)):
            break
    if part is not None:
        stored = [*history.decrypted(keys, part.records), *stored]
        if kept is None and part.text:
            kept = summary.decoded(keys, part.text, part.until)
    return WholeHistory(stored, ttl_s, kept)


def _is_as_it_was(connection: Connection, keys: SessionKeys, stored: list[bytes]) -> bool:
    place, first = connection.run_all(archived.place(keys), history.elements(keys, 0, 0))
    return place is None and first == stored[:1]

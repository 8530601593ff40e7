"""The schedules of a session: what is sent to it again and again, in a hash under its keys.

What a schedule says is its owner's affair: here it is bytes, encrypted as all words are.
"""

from dataclasses import dataclass, field

from memory.keys import Keyspace, SessionKeys
from memory.mailbox.due_sessions import DueSessions
from memory.records.swap import Swap, swap_fields
from memory.redis.command import Command
from memory.redis.replies import flag, integer, nothing, pairs


@dataclass(frozen=True, slots=True)
class KeptSchedule:
    """A schedule, and as it lies in Redis."""

    schedule_id: str
    packed: bytes = field(repr=False)
    stored: bytes = field(repr=False)


def about_schedule(schedule_id: str) -> str:
    """What an encrypted schedule is about."""
    return "schedule\0" + schedule_id


def scheduled_sessions(keyspace: Keyspace) -> DueSessions:
    """The sessions that have schedules, each with the time of the next look."""
    return DueSessions(keyspace.schedules)


def count(keys: SessionKeys) -> Command[int]:
    """How many schedules a session has."""
    return Command(integer, ("HLEN", keys.schedules))


def save(keys: SessionKeys, schedule_id: str, packed: bytes) -> Command[None]:
    """Keep a new schedule."""
    stored = keys.cipher.encrypted(packed, about_schedule(schedule_id))
    return Command(nothing, ("HSET", keys.schedules, schedule_id, stored))


def every(keys: SessionKeys) -> Command[list[KeptSchedule]]:
    """All schedules of a session. Raises CannotRead when sent."""

    def read(reply: object) -> list[KeptSchedule]:
        found = []
        for name, stored in pairs(reply):
            schedule_id = name.decode(errors="replace")
            packed = keys.cipher.decrypted(stored, about_schedule(schedule_id))
            found.append(KeptSchedule(schedule_id, packed, stored))
        return found

    return Command(read, ("HGETALL", keys.schedules))


def change(keys: SessionKeys, kept: KeptSchedule, packed: bytes) -> Command[int]:
    """Write a schedule anew; 0 where it is another one by now, or gone."""
    place = kept.schedule_id.encode()
    stored = keys.cipher.encrypted(packed, about_schedule(kept.schedule_id))
    return swap_fields(keys.schedules, [Swap(place, kept.stored, stored)])


def drop(keys: SessionKeys, schedule_id: str) -> Command[bool]:
    """Remove a schedule; False: there is none."""
    return Command(flag, ("HDEL", keys.schedules, schedule_id))

"""The due list as it lies in Redis: mailboxes, with the time at which a sweeper must look at them.

All three operations are safe to repeat, and any number of sweepers may work on the list at once.
"""

from dataclasses import dataclass, field

from memory.redis.command import Command, LuaScript
from memory.redis.replies import after_ok, count, flag, pairs, text

SCHEDULE = LuaScript.load("mailbox", "schedule")
DUE = LuaScript.load("mailbox", "due")
SETTLE = LuaScript.load("mailbox", "settle")
SCRIPTS = (SCHEDULE, DUE, SETTLE)


@dataclass(frozen=True, slots=True)
class DueEntry:
    """A mailbox to look at, and the score under which it was found."""

    history_key: str
    at_ms: float
    stored: bytes = field(default=b"", compare=False)
    """The member as Redis has it: perhaps bytes that are no text."""


def schedule(due_key: str, member: str, *, delay_ms: int) -> Command[int]:
    """Have someone look at a member in `delay_ms` at the latest. When that is, ms."""
    return SCHEDULE.command(count, due_key, member=member, delay_ms=delay_ms)


def due(due_key: str, *, limit: int) -> Command[list[DueEntry]]:
    """What is due by now, the longest due first."""

    def read(reply: object) -> list[DueEntry]:
        return [DueEntry(text(one), float(at_ms), one) for one, at_ms in pairs(after_ok(reply))]

    return DUE.command(read, due_key, limit=limit)


def settle(
    due_key: str, member: str, *, seen_ms: float, delay_ms: int | None, is_idle: bool = False
) -> Command[bool]:
    """Put the next look off by `delay_ms` (None: drop the member); False where it has changed.

    A member is dropped only where it was noted as idle (`is_idle`) the last time.
    """
    return SETTLE.command(
        flag,
        due_key,
        member=member,
        # repr, as the score must be compared bit for bit.
        seen_ms=repr(seen_ms),
        delay_ms="drop" if delay_ms is None else delay_ms,
        is_idle=int(is_idle),
    )

"""The due list as it lies in Redis: mailboxes, with the time at which a sweeper must look at them.

All three operations are safe to repeat, and any number of sweepers may work on the list at once.
Where the server's clock was set back, the first of them moves all entries back with it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from memory.redis.command import Command, LuaScript, ignore_corrupt
from memory.redis.replies import after_ok, count, flag, integer, pairs, text

T = TypeVar("T")

SCHEDULE = LuaScript.load("mailbox", "schedule")
DUE = LuaScript.load("mailbox", "due")
SETTLE = LuaScript.load("mailbox", "settle")
SCRIPTS = (SCHEDULE, DUE, SETTLE)

FAR_MS = 4_000_000_000_000_000
"""No look is so late. The list's own note of the server's time lies beyond (`due_clock`)."""


@dataclass(frozen=True, slots=True)
class DueEntry:
    """A mailbox to look at, and the score under which it was found."""

    history_key: str
    at_ms: float
    stored: bytes = field(default=b"", compare=False)
    """The member as Redis has it: perhaps bytes that are no text."""


def schedule(due_key: str, member: str, *, delay_ms: int) -> Command[int]:
    """Have someone look at a member in `delay_ms` at the latest. The server's time, ms."""
    return SCHEDULE.command(count, due_key, member=member, delay_ms=delay_ms)


def look(due_key: str, member: str, *, delay_ms: int) -> Command[int]:
    """`schedule`, but a damaged list is logged, and fails nothing beside it."""
    # docs/decisions.md: without the list nothing is swept, but jobs are taken in, woken and done.
    return ignore_corrupt(schedule(due_key, member, delay_ms=delay_ms), 0)


def due(due_key: str, *, limit: int) -> Command[list[DueEntry]]:
    """What is due by now, the longest due first."""

    def read(reply: object) -> list[DueEntry]:
        entries = pairs(after_ok(reply)[1:])
        return [DueEntry(text(one), float(at_ms), one) for one, at_ms in entries]

    return DUE.command(read, due_key, limit=limit)


def timed(command: Command[T], note: Callable[[int], None]) -> Command[T]:
    """The same; a SCHEDULE or DUE tells `note` the server's time, ms, when it is answered."""
    if command.script not in (SCHEDULE, DUE):
        return command

    def parse(reply: object) -> T:
        match reply:
            case [b"OK", int(now_ms), *_]:
                note(now_ms)
        return command.parse(reply)

    return command.read_by(parse)


def size(due_key: str) -> Command[int]:
    """How many members a list has."""
    return Command(integer, ("ZCOUNT", due_key, "-inf", f"({FAR_MS}"))


def overdue(due_key: str, *, before_ms: int) -> Command[int]:
    """How many members were to be looked at before a moment, and nobody has."""
    return Command(integer, ("ZCOUNT", due_key, "-inf", f"({before_ms}"))


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

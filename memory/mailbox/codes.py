"""The codes with which the Lua operations of the mailbox answer, and how to read them.

Each answers a list that begins with a code, or the numbers 1 and 0. The code CORRUPT, and a reply
of any other shape, raise CorruptData.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from memory.errors import CorruptData

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job to be woken: whoever is given one publishes its wake-up."""

    job_id: str
    envelope: bytes = field(repr=False)


class _Ok(StrEnum):
    OK = "OK"


def code_and_rest(outcomes: type[E], reply: object) -> tuple[E, list[object]]:
    """The code of a reply, and what follows it."""
    match reply:
        case [b"CORRUPT", bytes(key), bytes(found)]:
            name = key.decode(errors="replace")
            raise CorruptData(f"key {name!r} holds a {found.decode()}; nothing was changed")
        case [bytes(code), *rest] if code.decode(errors="replace") in outcomes.__members__:
            return outcomes[code.decode()], rest
    raise unexpected_reply(reply)


def code_and_next(outcomes: type[E], reply: object) -> tuple[E, Waiting | None]:
    """The code of a reply that names at most one job to be woken."""
    outcome, rest = code_and_rest(outcomes, reply)
    match rest:
        case []:
            return outcome, None
        case [bytes(job), bytes(envelope)]:
            return outcome, waiting(job, envelope)
    raise unexpected_reply(reply)


def waiting(job: bytes, envelope: bytes) -> Waiting | None:
    """The job that a reply names; None where it names none."""
    return Waiting(job.decode(), envelope) if job else None


def read_flag(reply: object) -> bool:
    """Read the reply of an operation that answers 1 or 0."""
    match reply:
        case int(flag) if flag in (0, 1):
            return flag == 1
        case [b"CORRUPT", *_]:
            code_and_rest(_Ok, reply)
    raise unexpected_reply(reply)


def read_ok(reply: object) -> list[object]:
    """What follows the code OK of an operation that has no other."""
    return code_and_rest(_Ok, reply)[1]


def read_ok_integer(reply: object) -> int:
    """The one integer that follows the code OK."""
    match read_ok(reply):
        case [int(value)]:
            return value
    raise unexpected_reply(reply)


def sequence_of(read: Callable[[object], T], reply: object) -> list[T]:
    """A list of a reply, each element read by `read`."""
    if isinstance(reply, list):
        return [read(element) for element in reply]
    raise unexpected_reply(reply)


def raw(value: object) -> bytes:
    """A string of a reply, as it is."""
    if isinstance(value, bytes):
        return value
    raise unexpected_reply(value)


def unexpected_reply(reply: object) -> CorruptData:
    """The error for a reply of a shape that its operation never gives."""
    # Not the reply itself: it may hold a user's message.
    code = reply[0] if isinstance(reply, list) and reply else type(reply).__name__
    return CorruptData(f"the mailbox gave a reply that makes no sense: {code!r}")

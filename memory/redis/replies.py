"""Reading what a script or a command answered. Pure."""

from collections.abc import Callable
from typing import TypeVar

from memory.errors import CorruptData

T = TypeVar("T")


def count(reply: object) -> int:
    """The number in `{'OK', n}` or the like. Raises CorruptData on `{'CORRUPT', key, type}`."""
    match reply:
        case [b"CORRUPT", bytes(key), bytes(kind)]:
            name = key.decode(errors="replace")
            raise CorruptData(f"{name} is a {kind.decode()}, which this program did not write")
        case [bytes(), int(number)]:
            return number
    raise unexpected(reply)


def code(reply: object) -> bytes:
    """The word at the head of a script's reply."""
    match reply:
        case [bytes(word), *_]:
            return word
    raise unexpected(reply)


def integer(reply: object) -> int:
    """An integer reply."""
    if isinstance(reply, int):
        return reply
    raise unexpected(reply)


def is_ok(reply: object) -> bool:
    """Whether a command answered OK."""
    return reply == b"OK"


def optional(parse: Callable[[bytes], T]) -> Callable[[object], T | None]:
    """A reader of a bulk string that may be absent."""

    def read(reply: object) -> T | None:
        if reply is None:
            return None
        if isinstance(reply, bytes):
            return parse(reply)
        raise unexpected(reply)

    return read


def strings(reply: object) -> list[bytes]:
    """An array of bulk strings."""
    if isinstance(reply, list) and all(isinstance(item, bytes) for item in reply):
        return reply
    raise unexpected(reply)


def unexpected(reply: object) -> CorruptData:
    """The error for a reply of a shape that the command never gives. It holds no values."""
    return CorruptData(f"Redis answered with an unexpected {type(reply).__name__}")

"""Reading what a script or a command answered. Pure.

A script answers a list that begins with a code, or 1 or 0. The code CORRUPT, and a reply of any
other shape than the reader expects, raise CorruptData.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from memory.errors import CorruptData

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_CODE = re.compile(rb"[A-Z_]{1,32}")


def code_and_rest(codes: type[E], reply: object) -> tuple[E, list[object]]:
    """The code of a reply, and what follows it."""
    match _unless_corrupt(reply):
        case [bytes(code), *rest] if found := codes.__members__.get(code.decode(errors="replace")):
            return found, rest
    raise unexpected_reply(reply)


def code_and_count(reply: object) -> tuple[bytes, int]:
    """Any code, and the one number that follows it."""
    match _unless_corrupt(reply):
        case [bytes(code), int(number)]:
            return code, number
    raise unexpected_reply(reply)


def count(reply: object) -> int:
    """The one number that follows a code."""
    return code_and_count(reply)[1]


def after_ok(reply: object) -> list[object]:
    """What follows the code OK, of a script that has no other."""
    match _unless_corrupt(reply):
        case [b"OK", *rest]:
            return rest
    raise unexpected_reply(reply)


def flag(reply: object) -> bool:
    """The 1 or 0 of a script that answers a yes or a no."""
    if _unless_corrupt(reply) in (0, 1):
        return reply == 1
    raise unexpected_reply(reply)


def integer(reply: object) -> int:
    """An integer reply."""
    if isinstance(reply, int):
        return reply
    raise unexpected_reply(reply)


def is_ok(reply: object) -> bool:
    """Whether a command answered OK."""
    return reply == b"OK"


def nothing(_: object) -> None:
    """For a command whose answer says nothing."""


def raw(reply: object) -> bytes:
    """A bulk string, as it is."""
    if isinstance(reply, bytes):
        return reply
    raise unexpected_reply(reply)


def text(reply: object) -> str:
    """A bulk string of ours as text; bytes that are no UTF-8 are replaced."""
    return raw(reply).decode(errors="replace")


def optional(parse: Callable[[bytes], T]) -> Callable[[object], T | None]:
    """A reader of a bulk string that may be absent."""
    return lambda reply: None if reply is None else parse(raw(reply))


def strings(reply: object) -> list[bytes]:
    """An array of bulk strings."""
    if isinstance(reply, list):
        return reply if {*map(type, reply)} <= {bytes} else [raw(one) for one in reply]
    raise unexpected_reply(reply)


def pairs(reply: object) -> list[tuple[bytes, bytes]]:
    """The pairs of a flat array of bulk strings."""
    flat = strings(reply)
    if len(flat) % 2:
        raise unexpected_reply(reply)
    return list(zip(flat[::2], flat[1::2], strict=True))


def unexpected_reply(reply: object) -> CorruptData:
    """The error for a reply of a shape that its command never gives."""
    # Not the reply itself: it may hold a user's message.
    head = reply[0] if isinstance(reply, list) and reply else None
    is_code = isinstance(head, bytes) and _CODE.fullmatch(head)
    code = head if is_code else type(reply).__name__
    return CorruptData(f"Redis gave an unexpected reply: {code!r}")


def _unless_corrupt(reply: object) -> object:
    match reply:
        # From memory/redis/lua/types.lua, which runs before a script writes anything.
        case [b"CORRUPT", bytes(key), bytes(found)]:
            name = key.decode(errors="replace")
            raise CorruptData(
                f"key {name!r} holds a {found.decode()} that Griot did not write; nothing was "
                "changed"
            )
    return reply

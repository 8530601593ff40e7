"""A command or script for Redis that has not been sent yet.

The rest of the package says *what* to ask Redis, as values of `Command`; `connection.Connection`
(blocking) and `aio.AsyncConnection` (on an event loop) know *how* to send them. So every operation
is written once, is pure, and serves both.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Generic, TypeVar

from memory.errors import CorruptData

logger = logging.getLogger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Argument = str | bytes | int | float
"""What redis-py can encode as an argument."""


@dataclass(frozen=True, slots=True)
class LuaScript:
    """One Lua operation: its source and the digest by which Redis knows it."""

    name: str
    source: str
    sha: str

    @classmethod
    def load(cls, room: str, name: str) -> "LuaScript":
        """Read `memory/<room>/lua/<name>.lua`."""
        source = files(f"memory.{room}").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        return cls(name=name, source=source, sha=sha)


@dataclass(frozen=True, slots=True)
class Command(Generic[T_co]):
    """One question to Redis and how to read its answer.

    With a `script`, `keys` and `args` are its KEYS and ARGV. Without, `args` is a plain command
    and `keys` stays empty. `parse` turns the raw reply (bytes, int, list …) into the result.
    """

    parse: Callable[[object], T_co]
    args: tuple[Argument, ...]
    keys: tuple[str, ...] = ()
    script: LuaScript | None = None

    def wire(self) -> tuple[Argument, ...]:
        """The command as it is sent; a script goes by its digest."""
        if self.script is None:
            return self.args
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)

    def wire_with_source(self) -> tuple[Argument, ...]:
        """The command as it is sent after NOSCRIPT: with the script itself.

        EVAL runs and remembers it in one step, on the node of a cluster that owns the keys.
        """
        if self.script is None:
            return self.args
        return ("EVAL", self.script.source, len(self.keys), *self.keys, *self.args)


def ignore_corrupt(command: Command[T], otherwise: T) -> Command[T]:
    """The same, but a script's CORRUPT is logged, and the result is `otherwise`.

    For what goes beside an operation in its pipeline, as an index does: the operation is executed
    in any case, so its caller must not be told that it failed.
    """

    def parse(reply: object) -> T:
        try:
            return command.parse(reply)
        except CorruptData as exc:
            logger.error("%s; it is passed over until somebody mends it", exc)
            return otherwise

    return replace(command, parse=parse)

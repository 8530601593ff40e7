"""A command or script for Redis that has not been sent yet.

The rest of the package says *what* to ask Redis, as values of `Command`; `connection.Connection`
(blocking) and `async_connection.AsyncConnection` (on an event loop) know *how* to send them. So
every operation is written once, is pure, and serves both.

The header of a `.lua` file is the signature of its script, as that of a function. From

    -- KEYS  history:list queue:zset slots...:zset
    -- ARGV  job token records...

the loader makes a local for each key and argument (not for one with dots: it stands for any number,
which the script reads from KEYS or ARGV) and a check that each key holds the type after its colon.
A type with a question mark (`queue:zset?`) is not checked beforehand: the body asks for the key by
a command of that type before it writes, and what Redis refuses then is answered CORRUPT too.
The header ends with the first empty line. A line `-- include clock` in the body is replaced by
memory/redis/lua/clock.lua: the pieces that several scripts share lie there.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from importlib.resources import files
from typing import Any, Generic, TypeVar

from memory.errors import CorruptData
from memory.key_groups import OutageKeys, QuotaKeys, SlotKeys, WebhookKeys
from memory.keys import SessionKeys

logger = logging.getLogger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Argument = str | bytes | int | float
"""What redis-py can encode as an argument."""
Value = Argument | tuple[Argument, ...]

_INCLUDE = re.compile(r"^-- include (\w+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LuaScript:
    """One Lua operation: its whole source, the digest by which Redis knows it, its signature."""

    name: str
    source: str
    sha: str
    keys: tuple[str, ...]
    arguments: tuple[str, ...]

    @classmethod
    def load(cls, folder: str, name: str) -> "LuaScript":
        """Read `memory/<folder>/lua/<name>.lua` and what it includes."""
        header, body = _text(folder, name).split("\n\n", 1)
        keys, kinds = zip(*(key.split(":") for key in _names(header, "KEYS")), strict=True)
        arguments = _names(header, "ARGV")
        body = _INCLUDE.sub(lambda found: _text("redis", found[1]), body)
        source = _source(header, kinds, _locals(keys, "KEYS") + _locals(arguments, "ARGV") + body)
        return cls(name, source, digest(source), _plain(keys), _plain(arguments))

    def command(
        self,
        parse: Callable[[object], T],
        keys: SessionKeys | SlotKeys | OutageKeys | QuotaKeys | WebhookKeys | str | tuple[str, ...],
        *,
        more_keys: tuple[str, ...] | None = None,
        **arguments: Value,
    ) -> "Command[T]":
        """The command that runs the script with these arguments, by their names in the header.

        `keys` has an attribute for each key of the header, or is the only key, or those for the
        only name; `more_keys` stand for the last one, where it is none of the session's. A name
        with dots takes a tuple. TypeError or KeyError for other arguments than those of the header.
        """
        # mypy sees no misspelled name: docs/decisions.md, "The header of a Lua script is its
        # signature".
        if len(arguments) != len(self.arguments):
            raise TypeError(f"{self.name} takes {self.arguments}, not {tuple(arguments)}")
        own = self.keys if more_keys is None else self.keys[:-1]
        # What is no group of keys is the only key, or those for the only name, which has dots.
        is_given = isinstance(keys, (str, tuple))  # not `str | tuple`, which is made each time
        named = (keys,) if is_given else tuple([getattr(keys, name) for name in own])
        named = named if more_keys is None else (*named, more_keys)
        passed = tuple(map(arguments.__getitem__, self.arguments))
        return Command(parse, _spread(passed), _spread(named), self)


class Tolerance(Enum):
    """Which error replies to a command fail nothing: its `parse` is given them."""

    NONE = auto()
    WRONG_TYPE = auto()
    ALL = auto()


@dataclass(frozen=True, slots=True)
class Replication:
    """That a write is to be on replicas (`replicas.ReplicaWait`), if its reply begins with one of
    the codes `written`; `lease` is the key of its session's lease."""

    lease: str
    written: tuple[bytes, ...]
    is_required: bool


# Not frozen, as a turn makes twenty: that would take four times as long.
@dataclass(slots=True)
class Command(Generic[T_co]):
    """A command for Redis and how to read its reply. A value: nobody changes it.

    With a `script`, `keys` and `args` are its KEYS and ARGV. Without, `args` is a plain command
    and `keys` stays empty. `parse` turns the raw reply (bytes, int, list …) into the result.
    `replication` is for a write that no fail-over must lose.
    """

    parse: Callable[[object], T_co]
    args: tuple[Argument, ...]
    keys: tuple[str, ...] = ()
    script: LuaScript | None = None
    replication: Replication | None = None
    tolerance: Tolerance = Tolerance.NONE

    def tolerates(self, error: Exception) -> bool:
        """Whether this error reply is no failure of what was sent with it."""
        if self.tolerance is Tolerance.WRONG_TYPE:
            return str(error).startswith("WRONGTYPE")
        return self.tolerance is Tolerance.ALL

    def read_by(
        self, parse: Callable[[object], T], tolerance: Tolerance | None = None
    ) -> "Command[T]":
        """The same command, whose reply is read otherwise."""
        # Not dataclasses.replace, which takes fourteen calls for it, for four commands of each job.
        tolerance = self.tolerance if tolerance is None else tolerance
        return Command(parse, self.args, self.keys, self.script, self.replication, tolerance)

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
    """The same, but a key of another type is logged, and the result is `otherwise`.

    For many sessions at once, of which one may be damaged.
    """

    def parse(reply: object) -> T:
        try:
            if isinstance(reply, Exception):
                raise CorruptData(f"key {command.args[1]!r} holds another type than ours")
            return command.parse(reply)
        except CorruptData as exc:
            log_damage(exc)
            return otherwise

    return command.read_by(parse, Tolerance.WRONG_TYPE)


def log_damage(error: CorruptData) -> None:
    """Say that a key is damaged which an operation can do without."""
    logger.error("%s; the key is skipped until you delete or repair it", error)


def digest(source: str) -> str:
    """The name that Redis gives to a script."""
    # SHA-1 because Redis says so; without the flag a build of Python for FIPS refuses it.
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


@cache
def _text(folder: str, name: str) -> str:
    return files(f"memory.{folder}").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def _source(header: str, kinds: tuple[str, ...], body: str) -> str:
    """The whole script: a look at the types of keys, and the body, which looks at others itself."""
    beforehand = ["false" if kind.endswith("?") else repr(kind) for kind in kinds]
    look = _text("redis", "types")
    lines = [header, f"local kinds = {{{', '.join(beforehand)}}}"]
    lines += [look] if set(beforehand) != {"false"} else []
    if "false" not in beforehand:
        return "\n".join((*lines, body))
    every = ", ".join(repr(kind.removesuffix("?")) for kind in kinds)
    lines += [f"local is_done, answer = pcall(function()\n{body}end)"]
    lines += ["if is_done then return answer end", f"kinds = {{{every}}}"]
    return "\n".join((*lines, look + "error(answer)"))


def _names(header: str, what: str) -> tuple[str, ...]:
    (names,) = re.findall(rf"^-- {what}  (.+)$", header, re.MULTILINE)
    return tuple(names.split())


def _locals(names: Iterable[str], what: str) -> str:
    single = [name for name in names if not name.endswith("...")]
    # With an end: Lua cannot unpack thousands of records at once.
    return f"local {', '.join(single)} = unpack({what}, 1, {len(single)})\n" if single else ""


def _plain(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.removesuffix("...") for name in names)


def _spread(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Only the last may be a tuple; its elements take its place."""
    last = values[-1]
    return (*values[:-1], *last) if isinstance(last, tuple) else values

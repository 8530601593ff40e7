"""The server's clock as a test sets it: scripts take the time as their first argument."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TypeVar

from memory.redis.command import Command, LuaScript, digest
from memory.redis.connection import Connection

T = TypeVar("T")

_TIME = "redis.call('TIME')"


class ClockedConnection(Connection):
    """Sends to another connection, with scripts at the time that `now_ms` says."""

    def __init__(self, connection: Connection, now_ms: Callable[[], int]) -> None:
        self._connection = connection
        self.endpoint = connection.endpoint
        self._now_ms = now_ms

    def run(self, command: Command[T]) -> T:
        return self._connection.run(at(command, self._now_ms() * 1000))

    def run_last(self, *commands: *tuple[*tuple[Command[object], ...], Command[T]]) -> T:
        now_us = self._now_ms() * 1000
        *others, last = commands
        return self._connection.run_last(*(at(one, now_us) for one in others), at(last, now_us))

    def run_each(self, commands: Sequence[Command[T]]) -> list[T]:
        return self._connection.run_each([at(one, self._now_ms() * 1000) for one in commands])


def at(command: Command[T], now_us: int) -> Command[T]:
    """The command as it is at a time; one that asks for no time is the same at any."""
    if command.script is None or timed(command.script) is command.script:
        return command
    return replace(command, script=timed(command.script), args=(now_us, *command.args))


@cache
def timed(script: LuaScript) -> LuaScript:
    """The script with the time as its first argument; itself where it asks for no time."""
    if _TIME not in script.source:
        return script
    flags, rest = script.source.split("\n", 1)
    given = "{math.floor(given_us / 1000000), given_us % 1000000}"
    source = f"{flags}\nlocal given_us = table.remove(ARGV, 1)\n{rest.replace(_TIME, given)}"
    return replace(script, source=source, sha=digest(source))

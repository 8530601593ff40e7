"""Whether a script goes to the server by its digest or with its source. Pure."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from redis import exceptions

from memory.redis.command import Argument, Command

Wire: TypeAlias = tuple[Argument, ...]
"""A command as it is sent."""


def sources_once(commands: Iterable[Command[object]], known: set[str]) -> list[Wire]:
    """The source of each script that is not `known` with the first call that needs it, which makes
    it known; its digest with the others."""
    wires = []
    for command in commands:
        if command.script is None or command.script.sha in known:
            wires.append(command.wire())
        else:
            known.add(command.script.sha)
            wires.append(command.wire_with_source())
    return wires


def sources_always(commands: Iterable[Command[object]]) -> list[Wire]:
    """Each script's source with each call: none of them can be unknown."""
    return [command.wire_with_source() for command in commands]


def first_without_script(replies: Sequence[object]) -> int:
    """The place of the first call whose script was forgotten; behind all where there is none."""
    forgotten = (at for at, one in enumerate(replies) if isinstance(one, exceptions.NoScriptError))
    return next(forgotten, len(replies))


def run_scripts(commands: Iterable[Command[object]], replies: Iterable[object]) -> set[str]:
    """The scripts that the server has run, and so knows: a busy one refuses to load any."""
    return {
        command.script.sha
        for command, reply in zip(commands, replies, strict=True)
        if command.script is not None and not isinstance(reply, exceptions.ResponseError)
    }

"""Work on many sessions in steps that leave the server to turns in between."""

import time
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar, cast

from memory.records import index
from memory.redis.command import Command
from memory.redis.connection import Connection

T = TypeVar("T")

STEP_US = 400
"""How long the server works on one step: what a turn that comes then waits for at most."""
FIRST, LEAST, MOST = 10, 8, 100
WEIGHT = 0.2
"""Of the newest step in what a command is said to cost: one in which the server's process had to
wait for a core must not decide alone."""


class ShortSteps:
    """Sends many commands of one kind; for one run of one task, in one thread.

    A step is as many as the server did lately in STEP_US, by its own clock, and after each it is
    left to others for as long as it has worked. On a cluster each command is a trip of its own
    anyway.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cost_us: dict[str, float] = {}
        self._free_at_s = 0.0

    def run_each(self, commands: Iterable[Command[T]]) -> list[T]:
        """`Connection.run_each`; of a generator, each command is made when its step comes.

        Raises what that raises, and then some steps have been done.
        """
        results: list[T] = []
        rest = iter(commands)
        for first in rest:
            kind = _kind(first)
            step = [first, *islice(rest, self._size(kind) - 1)]
            results += self._run(kind, step)
        return results

    def _size(self, kind: str) -> int:
        cost_us = self._cost_us.get(kind, STEP_US / FIRST)
        return max(LEAST, min(MOST, int(STEP_US / max(cost_us, 1.0))))

    def _run(self, kind: str, step: list[Command[T]]) -> list[T]:
        if self._connection.is_cluster:
            return self._connection.run_each(step)
        if (wait_s := self._free_at_s - time.monotonic()) > 0:
            time.sleep(wait_s)
        began_s, clock = time.monotonic(), index.server_time_us()
        answers = self._connection.run_each([clock, *step, clock])
        began_us, ended_us = cast("int", answers[0]), cast("int", answers[-1])
        # The server's clock may be set meanwhile.
        used_us = min(max(0, ended_us - began_us), 10 * STEP_US)
        # It was left to others on the way there and back, too, and while the answers were read.
        self._free_at_s = max(time.monotonic(), began_s + 2 * used_us / 1_000_000)
        known_us = self._cost_us.get(kind, used_us / len(step))
        self._cost_us[kind] = known_us + WEIGHT * (used_us / len(step) - known_us)
        return cast("list[T]", answers[1:-1])


def _kind(command: Command[object]) -> str:
    return str(command.args[0]) if command.script is None else command.script.name

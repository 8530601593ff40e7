"""Upkeep works in steps that leave the server to turns in between."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

from memory import Connection, MemorySettings
from memory.redis.command import Command
from memory.redis.replies import integer
from memory.upkeep.short_steps import FIRST, LEAST, MOST, ShortSteps

T = TypeVar("T")


class Clocked(Connection):
    """A server whose clock shows that each command takes `cost_us`. Answers with the argument."""

    def __init__(self, cost_us: float) -> None:
        super().__init__(MemorySettings())
        self.cost_us = cost_us
        self.steps: list[int] = []
        self._now_us = 0.0

    def run_each(self, commands: Sequence[Command[T]]) -> list[T]:
        """One step, framed by the clock."""
        self.steps.append(len(commands) - 2)
        return [cast("T", self._answer(command.args)) for command in commands]

    def _answer(self, args: Sequence[object]) -> object:
        if args == ("TIME",):
            return int(self._now_us)
        self._now_us += self.cost_us
        return args[1]


def commands(amount: int) -> Iterator[Command[int]]:
    """Commands that are told apart by their argument."""
    return (Command(integer, ("TOUCH", number)) for number in range(amount))


def test_every_command_is_sent_once_and_in_order() -> None:
    """However they are parted."""
    for cost_us in (0.0, 3.0, 40.0, 5000.0):
        assert ShortSteps(Clocked(cost_us)).run_each(commands(237)) == list(range(237))


def test_a_step_is_as_long_as_the_server_takes_for_it() -> None:
    """Dear commands go in small steps, cheap ones in long ones, each kind by its own cost."""
    dear, cheap = Clocked(200.0), Clocked(1.0)
    for server in (dear, cheap):
        ShortSteps(server).run_each(commands(1000))

    assert dear.steps[0] == cheap.steps[0] == FIRST
    assert set(dear.steps[1:-1]) == {LEAST}
    assert set(cheap.steps[1:-1]) == {MOST}


def test_the_server_is_left_alone_for_as_long_as_it_has_worked() -> None:
    """A turn never waits behind two steps."""
    server = Clocked(300.0)
    began_s = time.monotonic()

    ShortSteps(server).run_each(commands(50))

    worked_s = sum(server.steps[:-1]) * 300.0 / 1_000_000
    assert time.monotonic() - began_s >= worked_s


def test_commands_are_made_when_their_step_comes() -> None:
    """What the client does meanwhile is time in which the server is free."""
    server = Clocked(200.0)
    steps_before = []

    def made() -> Iterator[Command[int]]:
        for command in commands(60):
            steps_before.append(len(server.steps))
            yield command

    ShortSteps(server).run_each(made())

    assert steps_before[0] == 0
    assert steps_before[-1] == len(server.steps) - 1

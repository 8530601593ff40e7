"""Several trips to Redis, of which a later one depends on what an earlier one answered.

Written once, as a generator that yields what to send and is given the answer; `run_steps` drives it
on a blocking connection, `run_steps_async` on an event loop. It sends nothing itself:

    def take_in() -> Steps[Enqueued]:
        charged = yield from asked(charge)
        return (yield from asked(note, enqueue))
"""

from collections.abc import Generator
from typing import TypeAlias, TypeVar, cast

from memory.errors import MemoryServiceError
from memory.redis.async_connection import AsyncConnection
from memory.redis.command import Command
from memory.redis.connection import Connection

T = TypeVar("T")

Trip: TypeAlias = tuple[*tuple[Command[object], ...], Command[object]]
Steps: TypeAlias = Generator[Trip, object, T]
"""Ends with a result, or raises; an error of a trip is raised where the trip was yielded."""


def asked(*commands: *tuple[*tuple[Command[object], ...], Command[T]]) -> Steps[T]:
    """Send commands together; the answer to the last one, as `Connection.run_last` gives it."""
    return cast("T", (yield commands))


def run_steps(memory: Connection, steps: Steps[T]) -> T:
    """The result of the steps. Raises what they raise."""
    try:
        trip = next(steps)
        while True:
            try:
                answer: object = memory.run_last(*trip)
            except MemoryServiceError as exc:
                trip = steps.throw(exc)
            else:
                trip = steps.send(answer)
    except StopIteration as end:
        return cast("T", end.value)


async def run_steps_async(memory: AsyncConnection, steps: Steps[T]) -> T:
    """The result of the steps, on an event loop. Raises what they raise."""
    try:
        trip = next(steps)
        while True:
            try:
                answer: object = await memory.run_last(*trip)
            except MemoryServiceError as exc:
                trip = steps.throw(exc)
            else:
                trip = steps.send(answer)
    except StopIteration as end:
        return cast("T", end.value)

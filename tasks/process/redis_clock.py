"""What Redis' clock says, as far as this process knows.

How long a wake-up lay in the queue is known only where sender and receiver read the same clock, and
Redis' is the one that they share. Nobody asks for it: it is read from answers that come anyway.
"""

import time
from contextlib import suppress
from typing import TypeVar

from memory import AsyncConnection, Command, MemoryServiceError, index
from memory.mailbox.due_list import timed
from tasks.process.per_process import PerProcess

T = TypeVar("T")


class RedisClock:
    """Redis' time, kept by the monotonic clock since an answer told it last; from any thread."""

    def __init__(self) -> None:
        self._ahead_s: float | None = None

    def read_by(self, command: Command[T]) -> Command[T]:
        """The same command; where its answer has Redis' time, the clock is set by it."""
        asked_s = time.monotonic()
        return timed(command, lambda server_ms: self.set_ms(server_ms, asked_s=asked_s))

    def set_ms(self, server_ms: int, *, asked_s: float | None = None) -> None:
        """An answer that has just come said so; it was asked for at `asked_s`, monotonic seconds.

        Who was stopped in between reads it late. So what is known stays where it fits: the answer
        was made at some time since it was asked for.
        """
        least_s = server_ms / 1000 - time.monotonic()
        most_s = least_s if asked_s is None else server_ms / 1000 - asked_s
        known_s = self._ahead_s
        self._ahead_s = least_s if known_s is None else min(max(known_s, least_s), most_s)

    @property
    def now_s(self) -> float | None:
        """Redis' time, Unix seconds; None as long as no answer has told it."""
        ahead_s = self._ahead_s
        return None if ahead_s is None else time.monotonic() + ahead_s

    @property
    def best_s(self) -> float:
        """Redis' time, or as long as that is not known that of this machine; Unix seconds."""
        return self.now_s or time.time()


redis_clock = PerProcess(RedisClock)
"""The clock of this process."""


def redis_clock_s() -> float:
    """What the clock of this process says at best, Unix seconds."""
    return redis_clock().best_s


async def hear_clock(memory: AsyncConnection) -> None:
    """Ask Redis for its time where no answer has told it yet. Where it does not say, the clock of
    this machine stands in."""
    if redis_clock().now_s is None:
        with suppress(MemoryServiceError):
            redis_clock().set_ms(await memory.run(index.server_time_ms()))

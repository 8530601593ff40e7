"""Tasks that wait for a place in this process: each class gets its share of the places."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from memory.priority import RANKS, ClassTurns, Priority, Shares

T = TypeVar("T")


class WaitingTasks(Generic[T]):
    """What waits, in the order in which it is to begin; of a class, in the order in which it came.

    For one thread at a time.
    """

    def __init__(self, priority_of: Callable[[T], Priority], shares: Shares) -> None:
        self._priority_of = priority_of
        self._turns = ClassTurns(shares)
        self._tasks: dict[Priority, deque[T]] = {one: deque() for one in RANKS}

    def __bool__(self) -> bool:
        return any(self._tasks.values())

    def append(self, task: T) -> None:
        """Add one, the last of its class."""
        self._tasks[self._priority_of(task)].append(task)

    def popleft(self) -> T:
        """Take the next one. IndexError where there is none."""
        waiting = [one for one in self._turns.order() if self._tasks[one]]
        if len(waiting) < 2:
            self._turns.nobody_waits()
            return self._tasks[waiting[0]].popleft()
        self._turns.served(waiting[0], waiting=waiting)
        return self._tasks[waiting[0]].popleft()

    def take_all(self) -> list[T]:
        """All that waits, which waits no more."""
        taken = [task for tasks in self._tasks.values() for task in tasks]
        for tasks in self._tasks.values():
            tasks.clear()
        return taken

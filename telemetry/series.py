"""Counters, gauges and histograms, counted by whoever does the work and read when somebody asks.

They know nothing of Prometheus: `worker.metrics` shows them, and a producer loads no more than
this. Each addition is a lock and an addition, for a job makes about thirty. All are safe in
threads.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

S = TypeVar("S", bound="Count | Reading | Amounts")


class Count:
    """A series of a counter: it only rises."""

    __slots__ = ("_changing", "_total")

    def __init__(self) -> None:
        self._total, self._changing = 0.0, threading.Lock()

    def inc(self, amount: float = 1.0) -> None:
        """Add to it."""
        with self._changing:
            self._total += amount

    def read(self) -> float:
        """What it has come to."""
        return self._total


class Reading:
    """A series of a gauge: what is now."""

    __slots__ = ("_changing", "_look", "_now")

    def __init__(self) -> None:
        # Finalizers lower some: they run wherever this thread is, also in here.
        self._now, self._changing = 0.0, threading.RLock()
        self._look: Callable[[], float] | None = None

    def inc(self, amount: float = 1.0) -> None:
        """Raise it."""
        with self._changing:
            self._now += amount

    def dec(self) -> None:
        """Lower it by one."""
        self.inc(-1.0)

    def set(self, reading: float) -> None:
        """Have it be this."""
        with self._changing:
            self._now = reading

    def set_function(self, look: Callable[[], float]) -> None:
        """Have it be what `look` gives whenever somebody reads it."""
        self._look = look

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Have it be one more within the block."""
        self.inc()
        try:
            yield
        finally:
            self.dec()

    def read(self) -> float:
        """What is now."""
        return self._now if self._look is None else float(self._look())


class Amounts:
    """A series of a histogram: how many amounts were at most as large as each bound."""

    __slots__ = ("_bounds", "_changing", "_numbers", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` rise; behind the last of them is one bucket more."""
        self._bounds, self._changing = bounds, threading.Lock()
        self._numbers, self._sum = [0] * (len(bounds) + 1), 0.0

    def observe(self, amount: float) -> None:
        """Count one amount."""
        at = bisect_left(self._bounds, amount)
        with self._changing:
            self._numbers[at] += 1
            self._sum += amount

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Count many at once: what comes with each token costs too much one by one."""
        found = [bisect_left(self._bounds, amount) for amount in amounts]
        with self._changing:
            for at in found:
                self._numbers[at] += 1
            self._sum += sum(amounts)

    def read(self) -> tuple[list[int], float]:
        """How many amounts each bucket has, without those of the ones below it; and their sum."""
        with self._changing:
            return [*self._numbers], self._sum


class Labelled(Generic[S]):
    """The series of a metric by the values of its labels, in the order of its catalogue."""

    def __init__(self, new: Callable[[], S]) -> None:
        self._new, self._changing = new, threading.Lock()
        self._by_values: dict[tuple[str, ...], S] = {}

    def labels(self, *values: str) -> S:
        """The series of these values; a new one, where there was none."""
        found = self._by_values.get(values)
        if found is None:
            with self._changing:
                found = self._by_values.setdefault(values, self._new())
        return found

    def series(self) -> list[tuple[tuple[str, ...], S]]:
        """All series, with their values."""
        with self._changing:
            return [*self._by_values.items()]

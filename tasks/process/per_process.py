"""A value that is built on first use, once per process."""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value built on first use, once per process: thread-safe, and anew after a fork."""

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._made: tuple[T] | None = None
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self) -> T:
        made = self._made
        if made is None:
            with self._lock:
                made = self._made = self._made or (self._build(),)
        return made[0]

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._made = None

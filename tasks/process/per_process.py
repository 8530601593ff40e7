"""A value that is built on first use, once per process."""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value built on first use, once per process: thread-safe, and anew after a fork."""

    def __init__(self, build: Callable[[], T], *, has_settings: bool = True) -> None:
        """`has_settings`: other settings make another value (`forget_all`)."""
        self._build = build
        self._lock = threading.Lock()
        self._made: tuple[T] | None = None
        os.register_at_fork(after_in_child=self.forget)
        if has_settings:
            _all.add(self)

    def __call__(self) -> T:
        made = self._made
        if made is None:
            with self._lock:
                made = self._made = self._made or (self._build(),)
        return made[0]

    @property
    def made(self) -> T | None:
        """The value, where it has been built."""
        return self._made[0] if self._made else None

    def forget(self) -> None:
        """Build it anew on the next use."""
        self._lock = threading.Lock()
        self._made = None


_all: "weakref.WeakSet[PerProcess[Any]]" = weakref.WeakSet()


def forget_all() -> None:
    """Build all that depends on settings anew on its next use; nothing is closed by that."""
    for one in list(_all):
        one.forget()

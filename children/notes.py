"""What is told of work under way: the newest of it, and not too often."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """Hands on the newest of what it is told, at most once in `every_s` seconds, until it ends.

    It may be told from any thread, as often as anybody likes: in `every_s` that makes one call of
    `later` and one of `send`. What was told last is handed on once its time has come, unless the
    work has ended before.
    """

    def __init__(
        self,
        send: Callable[[T], None],
        later: Callable[[float, Callable[[], None]], None],
        *,
        every_s: float,
    ) -> None:
        """`later(seconds, act)` calls `act` once so much time has passed, at 0 as soon as it can,
        in the thread in which `send` may be called."""
        self._send = send
        self._later = later
        self._every_s = every_s
        self._lock = threading.Lock()
        self._newest: T | None = None
        self._next_s = 0.0
        self._is_over = False

    def tell(self, what: T) -> None:
        """Take what is newest now; nothing after the end."""
        with self._lock:
            is_under_way, self._newest = self._newest is not None, what
            if is_under_way or self._is_over:
                return
            wait_s = max(0.0, self._next_s - time.monotonic())
        self._later(wait_s, self._hand_on)

    def end(self) -> None:
        """The work is over: nothing is handed on any more, and no `send` goes on."""
        with self._lock:
            self._is_over = True

    def _hand_on(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, None
            if newest is None or self._is_over:
                return
            self._next_s = time.monotonic() + self._every_s
            self._send(newest)

"""Asking whether a server answers, within a time that nothing can exceed.

Looking up a host's name may block far beyond every time-out of a client. So a thread of its own
asks, and the caller stops waiting for it in time.
"""

import os
import threading
from collections.abc import Callable

from memory.errors import MemoryServiceError


class Probe:
    """One question at a time: callers that come meanwhile wait for the same answer."""

    def __init__(self, ask: Callable[[], object]) -> None:
        """`ask` returns if the server is well and raises a MemoryServiceError if not."""
        self._ask = ask
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._question: _Question | None = None

    def is_answered(self, timeout_s: float) -> bool:
        """Whether the question was answered within `timeout_s`. Never raises."""
        if self._pid != os.getpid():
            # After a fork: a thread of the parent may hold the lock, for ever here.
            self._lock, self._question = threading.Lock(), None
            self._pid = os.getpid()
        try:
            with self._lock:
                question = self._question
                if question is None or not question.is_alive():
                    question = self._question = _Question(self._ask)
                    question.start()
        except RuntimeError:
            # The process can start no thread: it is not well.
            return False
        question.join(timeout_s)
        return question.is_answered


class _Question(threading.Thread):
    def __init__(self, ask: Callable[[], object]) -> None:
        # A daemon: a name may be looked up for long, and the process must not wait at its end.
        super().__init__(name="redis-probe", daemon=True)
        self._ask = ask
        self.is_answered = False

    def run(self) -> None:
        try:
            self._ask()
        except MemoryServiceError:
            return
        self.is_answered = True

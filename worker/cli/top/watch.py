"""Looking again and again in a thread of its own: Redis may be slow, keys and screen are not."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from memory import MemoryServiceError
from worker.cli.top.screen import Seen
from worker.cli.top.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class _Found:
    snapshot: Snapshot | None
    at_s: float
    trouble: str | None


class Watch:
    """Calls `look` every `every_s` seconds until the process ends or `close` is called. What Redis
    raises is kept beside the last snapshot, and it goes on. While `is_paused` nobody looks."""

    def __init__(self, look: Callable[[], Snapshot], every_s: float) -> None:
        self._look = look
        self._every_s = every_s
        self._found = _Found(None, time.monotonic(), None)
        self._is_over = threading.Event()
        self.is_paused = False
        # Whoever leaves does not wait for a Redis that is away.
        threading.Thread(target=self._run, name="griot-top", daemon=True).start()

    def seen(self) -> Seen:
        """How it looked last."""
        found = self._found
        return Seen(found.snapshot, time.monotonic() - found.at_s, found.trouble)

    def close(self) -> None:
        """Look no more."""
        self._is_over.set()

    def _run(self) -> None:
        while not self._is_over.is_set():
            if not self.is_paused:
                self._found = self._next()
            self._is_over.wait(self._every_s)

    def _next(self) -> _Found:
        try:
            return _Found(self._look(), time.monotonic(), None)
        except MemoryServiceError as exc:
            return _Found(self._found.snapshot, self._found.at_s, str(exc))

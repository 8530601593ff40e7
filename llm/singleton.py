"""The process's own LLMService, made on first use."""

import os
import threading

from llm.service import LLMService


class _Door:
    """Holds the one service of this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew; the lock too, which a thread may have held that a forked child lacks."""
        self._lock = threading.Lock()
        self._service: LLMService | None = None

    def service(self) -> LLMService:
        with self._lock:
            if self._service is None or self._service.is_closed:
                self._service = LLMService()
            return self._service


_door = _Door()
# Connections must not be shared between processes.
os.register_at_fork(after_in_child=_door.forget)


def get_llm_service() -> LLMService:
    """The service of this process, with the settings of its environment.

    Made on the first call, shared by all threads, made anew in a forked child and after
    `close()`. Raises pydantic's ValidationError if a setting is wrong.
    """
    return _door.service()

"""The function that gives the service to any part of a process."""

import os
import threading

from llm.service import LLMService


class _PerProcess:
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

    def reset(self) -> None:
        """Close the service, where there is one."""
        with self._lock:
            service, self._service = self._service, None
        if service is not None:
            service.close()


_of_this_process = _PerProcess()
# Connections must not be shared between processes.
os.register_at_fork(after_in_child=_of_this_process.forget)


def get_llm_service() -> LLMService:
    """The service of this process, with the settings of its environment.

    Made on the first call, shared by all threads, made anew in a forked child and after
    `close()`. Raises what `llm.settings.read_settings` does.
    """
    return _of_this_process.service()


def reset_llm_service() -> None:
    """Close what `get_llm_service` has given out and read the settings anew from now on."""
    _of_this_process.reset()

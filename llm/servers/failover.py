"""One call on its way from server to server: what it has tried, and how much time it has left."""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from llm.errors import (
    LLMError,
    ModelNotFoundError,
    OllamaUnreachableError,
    RetryableLLMError,
    TotalTimeoutError,
)
from llm.servers.server import Server
from llm.wire.timeouts import Timeouts


class HeldSlot(Protocol):
    """The slot that one caller has. The fleet asks no server at which it has none."""

    @property
    def server(self) -> str:
        """The base URL of the slot's server; empty where nothing bounds the calls."""

    async def move(self, servers: Sequence[str]) -> bool:
        """Leave that slot for one at one of `servers`, the best first. False: none was free, and
        the caller has no slot any more."""


class FailoverState:
    """One call on its way from server to server; its time is counted over all of them.

    The loading of a model and the wait for a server have limits of their own.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self.tried: set[str] = set()
        self._timeouts = timeouts
        self._began = time.monotonic()
        self.asked_at = self._began
        """When the present server was asked (monotonic); before that, when its turn came."""
        self._is_asked = False
        self._error: LLMError | None = None

    def ask(self) -> Timeouts:
        """A server is asked now; the limits for that."""
        self.asked_at, self._is_asked = time.monotonic(), True
        return self._timeouts

    @property
    def patience_s(self) -> float:
        """How much longer it waits for a server: as long in all as for a first token."""
        return self._timeouts.first_token_s - (time.monotonic() - self._began)

    def goes_on_after(self, error: LLMError, url: str) -> bool:
        """Note the failure of a server; whether another one may do better."""
        self.tried.add(url)
        # Only asking counts: loads and waits for a server have limits of their own.
        now = time.monotonic()
        if self._is_asked:
            left_s = self._timeouts.total_s - (now - self.asked_at)
            self._timeouts = replace(self._timeouts, total_s=max(left_s, 0.001))
        self.asked_at, self._is_asked = now, False
        may_move = isinstance(error, RetryableLLMError | ModelNotFoundError)
        # The time for the whole reply is counted over all servers: no other has more of it.
        if not may_move or isinstance(error, TotalTimeoutError):
            return False
        if self._error is None or _weight(error) >= _weight(self._error):
            self._error = error
        return True

    def end(self, model: str, left: Sequence[Server], full: Collection[str] = ()) -> LLMError:
        """What to raise when no other server can be asked.

        `left` were not asked: those whose URL is in `full` for they had no free slot, the others
        for they are out of service.
        """
        why = _why_not_asked(left, full)
        if self._error is None:
            return OllamaUnreachableError(f"no Ollama is available: {why}")
        # One of those may have the model: the job is to be tried again.
        if why and isinstance(self._error, ModelNotFoundError):
            return OllamaUnreachableError(
                f"no available server has the model '{model}'; of the others {why}"
            )
        return self._error


def _weight(error: LLMError) -> int:
    """Which of the servers' errors the call ends with: the heaviest, of equal ones the last."""
    # A job is tried again after a retryable error: one server may have what another lacks. What
    # the job may have caused is not hidden by the outage of another server.
    return isinstance(error, RetryableLLMError) * (1 + (not error.is_outage))


def _why_not_asked(left: Sequence[Server], full: Collection[str]) -> str:
    # Beside full ones a server may be left that is well and lacks the model.
    out = [one.label for one in left if one.url not in full and not (full and one.breaker.admits)]
    busy = [one.label for one in left if one.url in full]
    reasons = ((out, "failed repeatedly"), (busy, "had no free slot"))
    return ", ".join(f"{', '.join(names)} {reason}" for names, reason in reasons if names)

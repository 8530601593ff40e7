"""When a loaded model that answers nobody is to be restarted. Pure; the clock is given.

Ollama can lose a slot to a client that left (ollama#17131): the model then stands in /api/ps, takes
requests and never answers one. Only time tells that from a model that thinks, writes a long call of
a tool or evaluates a long prompt: a call got no byte in the whole time that a reply may take, and
after it was closed, which frees its slot in a model that is well, another one got none either;
meanwhile no call of the model got a byte, of this process or of any other.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

PAUSE_S = 60.0
MAX_PAUSE_S = 900.0


class SharedAnswers(Protocol):
    """Which models answer somebody, told among processes."""

    def note(self, server: str, model: str) -> None:
        """A call of the model got a piece of its reply at the server of this URL. Not blocking."""

    async def is_any_within(self, server: str, model: str, seconds: float) -> bool:
        """Whether any process noted that within so many seconds; true where nobody can tell."""


@dataclass(slots=True)
class _Restarts:
    count: int = 0
    last_at: float = 0.0


class Watchdog:
    """What this process heard of each model of one server, and when it restarted one.

    Models are named as `full_name` has it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._in_vain_since: dict[str, float] = {}
        self._restarts: dict[str, _Restarts] = {}

    def heard(self, model: str) -> None:
        """A call of the model got a piece of its reply, or the model has just been loaded."""
        self._heard[model] = self._clock()

    def answered(self, model: str) -> None:
        """A call of the model began to be answered: whatever restarts there were have helped."""
        self.heard(model)
        self._restarts.pop(model, None)

    def is_silent(self, model: str, for_s: float) -> bool:
        """Whether no call of this process got a piece from the model within so many seconds."""
        heard_at = self._heard.get(model)
        return heard_at is None or heard_at <= self._clock() - for_s

    def waited_in_vain(self, model: str, *, again_after_s: float) -> bool:
        """A call got no piece in all its time. True if that was so before, so many seconds ago or
        more, and no call got one since."""
        now = self._clock()
        since = self._in_vain_since.get(model)
        if since is None or self._heard.get(model, since) > since:
            self._in_vain_since[model] = now
            return False
        return now - since >= again_after_s

    def may_restart(self, model: str) -> bool:
        """Whether the model may be restarted now; if so, that counts as done.

        Not again for a minute, doubled up to a quarter of an hour while no restart helps.
        """
        restarts = self._restarts.setdefault(model, _Restarts())
        pause_s = min(MAX_PAUSE_S, PAUSE_S * 2.0 ** (restarts.count - 1))
        if restarts.count > 0 and self._clock() - restarts.last_at < pause_s:
            return False
        # A bound for the exponent above.
        restarts.count = min(restarts.count + 1, 30)
        restarts.last_at = self._clock()
        return True

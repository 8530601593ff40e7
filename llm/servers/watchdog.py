"""When a loaded model that answers nobody is to be restarted. Pure; the clock is given.

Ollama can lose a slot to a client that left (ollama#17131): the model then stands in /api/ps, takes
requests and never answers one. Only time distinguishes that from a long queue: several
first-token time-outs with no token for anybody in between.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from llm.wire.models import full_name

TIMEOUTS = 3
PAUSE_S = 60.0
MAX_PAUSE_S = 900.0


@dataclass(slots=True)
class _Silence:
    timeouts: int = 0
    restarts: int = 0
    restarted_at: float = 0.0


class Watchdog:
    """Counts the time-outs in a row of each model of one server."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._silent: dict[str, _Silence] = {}

    def timed_out(self, model: str) -> bool:
        """A call got no token in time. True if the model is to be restarted now.

        Not again for a minute, doubled up to a quarter of an hour while no restart helps.
        """
        silence = self._silent.setdefault(full_name(model), _Silence())
        silence.timeouts += 1
        pause_s = min(MAX_PAUSE_S, PAUSE_S * 2.0 ** (silence.restarts - 1))
        is_paused = silence.restarts > 0 and self._clock() - silence.restarted_at < pause_s
        if silence.timeouts < TIMEOUTS or is_paused:
            return False
        silence.timeouts = 0
        # A bound for the exponent above.
        silence.restarts = min(silence.restarts + 1, 30)
        silence.restarted_at = self._clock()
        return True

    def answered(self, model: str) -> None:
        """A call of the model got a token: it is at work."""
        if self._silent:
            self._silent.pop(full_name(model), None)

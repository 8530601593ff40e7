"""A circuit breaker: who fails again and again is left alone for a while. Pure; the clock is given.

M. Nygard, "Release It!", 2007: closed → open after `failures` in a row → half-open after a pause,
for one trial alone → closed by its first answer, or open again for twice the pause.
"""

import random
import time
from collections.abc import Callable
from enum import StrEnum

FAILURES = 3
PAUSE_S = 1.0
MAX_PAUSE_S = 30.0

_RNG = random.Random()  # noqa: S311  # jitter is no secret


class State(StrEnum):
    """What a breaker does with a call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Counts the failures in a row of one server. Not thread-safe.

    The pause is jittered between half and all of its length, so that the processes that saw the
    same failure do not all try again at once.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        pause_s: float = PAUSE_S,
        max_pause_s: float = MAX_PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random = _RNG,
    ) -> None:
        self._limit = failures
        self._pause_s, self._max_pause_s = pause_s, max_pause_s
        self._clock, self._rng = clock, rng
        self._failures = 0
        self._openings = 0
        self._admits_at: float | None = None
        """When a trial may be made; None while closed."""
        self._trial: Trial | None = None

    @property
    def state(self) -> State:
        """What a call would meet now."""
        if self._admits_at is None:
            return State.CLOSED
        is_over = self._trial is not None or self._clock() >= self._admits_at
        return State.HALF_OPEN if is_over else State.OPEN

    @property
    def admits(self) -> bool:
        """Whether a call may be made now."""
        if self._admits_at is None:
            return True
        return self._trial is None and self._clock() >= self._admits_at

    @property
    def wait_s(self) -> float:
        """How long until a call may be made, as far as time decides it; 0 if that is over."""
        return 0.0 if self._admits_at is None else max(0.0, self._admits_at - self._clock())

    def begin(self) -> "Trial":
        """A call is made; tell the result how it went. Only where `admits` is true."""
        trial = Trial(self)
        if self._admits_at is not None:
            self._trial = trial
        return trial

    def _answered(self, trial: "Trial") -> None:
        if self._trial is trial:
            # One failure more opens it again; only a whole answer clears the count.
            self._close(self._limit - 1)

    def _succeeded(self, trial: "Trial") -> None:
        if self._trial is trial:
            self._close(0)
        elif self._admits_at is None:
            self._failures = self._openings = 0

    def _failed(self, trial: "Trial") -> None:
        if self._trial is trial:
            self._open()
        elif self._admits_at is None:
            self._failures += 1
            if self._failures >= self._limit:
                self._open()

    def _abandoned(self, trial: "Trial") -> None:
        if self._trial is trial:
            self._trial = None

    def _close(self, failures: int) -> None:
        self._failures, self._admits_at, self._trial = failures, None, None
        if failures == 0:
            self._openings = 0

    def _open(self) -> None:
        pause_s = min(self._max_pause_s, self._pause_s * 2.0 ** min(self._openings, 30))
        self._openings += 1
        self._trial = None
        self._admits_at = self._clock() + pause_s * (0.5 + 0.5 * self._rng.random())


class Trial:
    """One call that a breaker admitted. What a call says that is late by an opening is ignored."""

    __slots__ = ("_breaker",)

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def answered(self) -> None:
        """The server has begun to answer."""
        self._breaker._answered(self)

    def succeeded(self) -> None:
        """The answer is whole."""
        self._breaker._succeeded(self)

    def failed(self) -> None:
        """The server is at fault."""
        self._breaker._failed(self)

    def abandoned(self) -> None:
        """The call ended without a word on the server. After any other end: nothing."""
        self._breaker._abandoned(self)

"""A circuit breaker: who fails again and again is left alone for a while. Pure; the clock is given.

M. Nygard, "Release It!", 2007: closed → open after `FAILURES` in a row → half-open after a pause,
for one trial alone → closed by its first answer, or open again for twice the pause.
"""

import random
import time
from collections.abc import Callable
from typing import Literal

FAILURES = 3
PAUSE_S = 1.0
MAX_PAUSE_S = 30.0

_RNG = random.Random()  # noqa: S311  # jitter is no secret


class Breaker:
    """Counts the failures in a row of one server. Not thread-safe.

    The pause is jittered between half and all of its length, so that the processes that saw the
    same failure do not all try again at once.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, rng: random.Random = _RNG
    ) -> None:
        self._clock, self._rng = clock, rng
        self._failures = 0
        self._openings = 0
        self._admits_at: float | None = None
        """When a trial may be made; None while closed."""
        self._trial: Trial | None = None

    @property
    def is_closed(self) -> bool:
        """Whether every call may be made."""
        return self._admits_at is None

    @property
    def admits(self) -> bool:
        """Whether a call may be made now."""
        if self._admits_at is None:
            return True
        return self._trial is None and self._clock() >= self._admits_at

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Whether calls may be made, none, or one on trial."""
        if self._admits_at is None:
            return "closed"
        return "open" if self.wait_s > 0 else "half-open"

    @property
    def wait_s(self) -> float:
        """How long until a call may be made, as far as time decides it; 0 if that is over."""
        return 0.0 if self._admits_at is None else max(0.0, self._admits_at - self._clock())

    def end_pause(self) -> None:
        """The server is said to be well: where the breaker is open, a trial may be made now."""
        if self._admits_at is not None:
            self._admits_at = min(self._admits_at, self._clock())

    def begin(self) -> "Trial":
        """A call is made; the trial takes how it went. Only where `admits` is true."""
        trial = Trial(self)
        if self._admits_at is not None:
            self._trial = trial
        return trial

    def _close(self, failures: int) -> None:
        self._failures, self._admits_at, self._trial = failures, None, None
        if failures == 0:
            self._openings = 0

    def _open(self) -> None:
        # The exponent has a bound, or a float would overflow after a thousand openings.
        pause_s = min(MAX_PAUSE_S, PAUSE_S * 2.0 ** min(self._openings, 30))
        self._openings += 1
        self._trial = None
        self._admits_at = self._clock() + pause_s * (0.5 + 0.5 * self._rng.random())


class Trial:
    """One call that a breaker admitted. What a call says that is late by an opening is ignored."""

    __slots__ = ("_breaker", "has_answered")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self.has_answered = False
        """Whether the server has begun to answer."""

    def answered(self) -> None:
        """The server has begun to answer."""
        self.has_answered = True
        if self._is_only_one:
            # Now, not at its end: others need not wait for what may be a long reply.
            # One failure more opens it again; only a whole answer clears the count.
            self._breaker._close(FAILURES - 1)

    def succeeded(self) -> None:
        """The answer is whole."""
        if self._is_only_one or self._breaker.is_closed:
            self._breaker._close(0)

    def failed(self) -> None:
        """The server is at fault."""
        if self._is_only_one:
            self._breaker._open()
        elif self._breaker.is_closed:
            self._breaker._failures += 1
            if self._breaker._failures >= FAILURES:
                self._breaker._open()

    def abandoned(self) -> None:
        """The call ended without a word on the server. After any other end: nothing."""
        if self._is_only_one:
            self._breaker._trial = None

    @property
    def _is_only_one(self) -> bool:
        """Whether the breaker admits no other call until this one has said something."""
        return self._breaker._trial is self

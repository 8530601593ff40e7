"""How long wake-ups lie in the broker's queue just now.

Under load a wake-up may wait longer than CHAT_GRACE_SECONDS without being lost. The sweeper would
then publish wake-ups that nobody needs (4.8 per commit were measured), so everyone who looks after
lost ones is patient for twice the wait that workers see.
"""

import time

HALVED_EACH_S = 10.0
PATIENCE = 2


class QueueWait:
    """The longest wait that was noted lately; it fades by half every ten seconds.

    Threads may note at the same time; if one overwrites the other, the next note mends it.
    """

    def __init__(self) -> None:
        self._waited_s = 0.0
        self._noted_at = time.monotonic()
        self._heard_s = 0.0

    def note(self, waited_s: float) -> None:
        """A wake-up was received so long after it was published."""
        now_s = self.lately_s()
        if waited_s > now_s:
            self._waited_s, self._noted_at = waited_s, time.monotonic()

    def hear(self, waited_s: float) -> None:
        """Another process tells of such a wait; it counts until the next word.

        It is not passed on: two that told each other would never forget it.
        """
        self._heard_s = waited_s

    def lately_s(self) -> float:
        """The longest wait that was seen here of late, seconds."""
        passed_s = time.monotonic() - self._noted_at
        return float(self._waited_s * 0.5 ** (passed_s / HALVED_EACH_S))

    def patience_ms(self, grace_s: float) -> int:
        """How long a wake-up may be under way before it counts as lost, milliseconds."""
        return round(max(grace_s, PATIENCE * self.lately_s(), PATIENCE * self._heard_s) * 1000)

"""How long wake-ups lie in the broker's queue just now.

Under load a wake-up may wait longer than CHAT_GRACE_SECONDS without being lost. The sweeper would
then publish wake-ups that nobody needs (4.8 per commit were measured). So whatever looks for lost
wake-ups waits for twice the wait that workers see (docs/decisions.md, "Grace periods grow with the
queue").
"""

import time

HALVED_EACH_S = 10.0
PATIENCE = 2


class QueueWait:
    """The longest wait that was noted lately; it fades by half every ten seconds.

    Threads may note at the same time; if one overwrites the other, the next note mends it.
    """

    def __init__(self, grace_s: float) -> None:
        """`grace_s` is CHAT_GRACE_SECONDS: the patience without load."""
        self._grace_s = grace_s
        self._waited_s = 0.0
        self._noted_at = time.monotonic()
        self._shared_s = 0.0

    def note(self, waited_s: float) -> None:
        """A wake-up was received so long after it was published."""
        now_s = self.lately_s()
        if waited_s > now_s:
            self._waited_s, self._noted_at = waited_s, time.monotonic()

    def note_shared(self, waited_s: float) -> None:
        """Another process has shared such a wait through Redis; it counts until the next one.

        It is not passed on: two processes that passed it to each other would never forget it.
        """
        self._shared_s = waited_s

    def lately_s(self) -> float:
        """The longest wait that was seen here of late, seconds."""
        passed_s = time.monotonic() - self._noted_at
        return float(self._waited_s * 0.5 ** (passed_s / HALVED_EACH_S))

    @property
    def is_long(self) -> bool:
        """Whether other processes need to know of it."""
        return PATIENCE * self.lately_s() > self._grace_s

    @property
    def grace_ms(self) -> int:
        """How long a wake-up may be under way before it counts as lost, milliseconds."""
        waited_s = max(self.lately_s(), self._shared_s)
        return round(max(self._grace_s, PATIENCE * waited_s) * 1000)

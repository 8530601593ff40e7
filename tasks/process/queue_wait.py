"""How long wake-ups lie in the broker's queue just now.

Under load a wake-up may wait longer than CHAT_GRACE_SECONDS without being lost. The sweeper would
then publish wake-ups that nobody needs (4.8 per commit were measured). So whatever looks for lost
wake-ups waits for twice the wait that workers see, and never for more than a minute because of it
(docs/decisions.md, "Grace periods grow with the queue").
"""

import time

HALVED_EACH_S = 10.0
PATIENCE = 2
MOST_S = 60.0
"""More is not believed: a clock was set, or there was an outage, and neither will last."""


class QueueWait:
    """The longest wait that was noted lately; it fades by half every ten seconds.

    Threads may note at the same time; if one overwrites the other, the next note mends it.
    """

    def __init__(self, grace_s: float) -> None:
        """`grace_s` is CHAT_GRACE_SECONDS: the patience without load."""
        self._grace_s = grace_s
        self._seen = _Fading()
        self._shared = _Fading()

    def note(self, waited_s: float) -> None:
        """A wake-up was received so long after it was published, both by Redis' clock."""
        if waited_s > self._seen.now_s:
            self._seen = _Fading(waited_s)

    def note_shared(self, waited_s: float) -> None:
        """Another process has shared such a wait through Redis; the next one takes its place.

        It is not passed on: two processes that passed it to each other would never forget it.
        """
        self._shared = _Fading(waited_s)

    def lately_s(self) -> float:
        """The longest wait that was seen here of late, seconds; at most a minute."""
        return self._seen.now_s

    @property
    def is_long(self) -> bool:
        """Whether other processes need to know of it."""
        return PATIENCE * self.lately_s() > self._grace_s

    @property
    def grace_ms(self) -> int:
        """How long a wake-up may be under way before it counts as lost, milliseconds."""
        waited_s = max(self._seen.now_s, self._shared.now_s)
        return round(max(self._grace_s, min(PATIENCE * waited_s, MOST_S)) * 1000)

    @property
    def longest_grace_ms(self) -> int:
        """What `grace_ms` is never longer than, in any process of these settings."""
        return round(max(self._grace_s, MOST_S) * 1000)


class _Fading:
    """A wait within its bounds, that fades."""

    def __init__(self, waited_s: float = 0.0) -> None:
        self._waited_s = max(0.0, min(waited_s, MOST_S))
        self._noted_at = time.monotonic()

    @property
    def now_s(self) -> float:
        """What is left of it, seconds."""
        passed_s = time.monotonic() - self._noted_at
        return float(self._waited_s * 0.5 ** (passed_s / HALVED_EACH_S))

"""The turns that this process makes now, and how those before have ended, as operators see them.

Used on the event loop only.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class TurnNow:
    """A turn that is made; no word of it is here. `attempt` is 0 until a model is asked.

    `queue_wait_s` is from sending to the first attempt, None in later ones; `first_token_s` from
    sending to the first token of this attempt, None before.
    """

    agent_id: str
    session_id: str
    job_id: str
    attempt: int = 0
    model: str = ""
    server: str = ""
    pieces: int = 0
    queue_wait_s: float | None = None
    first_token_s: float | None = None
    _began_s: float = field(default_factory=time.monotonic)
    _first_s: float | None = None

    def on_start(self, model: str, attempt: int) -> None:
        """A model is asked, perhaps not for the first time."""
        self.model, self.attempt, self.pieces, self._first_s = model, attempt, 0, None

    def on_pieces(self, number: int) -> None:
        """Pieces of the reply have come, together; each is about a token."""
        self.pieces += number
        if self._first_s is None:
            self._first_s = time.monotonic()

    @property
    def age_s(self) -> float:
        """For how long it is made."""
        return round(time.monotonic() - self._began_s, 1)

    @property
    def tokens_per_s(self) -> float | None:
        """About how fast the reply is written; None before its second piece."""
        if self._first_s is None or self.pieces < 2:
            return None
        return round((self.pieces - 1) / max(0.001, time.monotonic() - self._first_s), 1)


class TurnsNow:
    """All turns of this process."""

    def __init__(self) -> None:
        self._made: dict[int, TurnNow] = {}
        self._counts: Counter[str] = Counter()
        self.on_first: Callable[[], None] = lambda: None
        """Called when a turn begins and no other runs."""

    @property
    def is_idle(self) -> bool:
        """Whether no turn is made."""
        return not self._made

    @property
    def running(self) -> list[TurnNow]:
        """The turns for which a model is asked, the oldest first."""
        return [turn for turn in self._made.values() if turn.attempt]

    def begin(self, turn: TurnNow) -> None:
        """Show a turn until its `end`."""
        if not self._made:
            self.on_first()
        self._made[id(turn)] = turn

    def end(self, turn: TurnNow) -> None:
        """Show it no more."""
        del self._made[id(turn)]

    def count(self, counts: Mapping[str, int]) -> None:
        """Add to the counts that are to be written."""
        for name, number in counts.items():
            self._counts[name] += number

    def take_counts(self) -> Counter[str]:
        """The counts since they were last taken; whoever cannot write them gives them back."""
        taken, self._counts = self._counts, Counter()
        return taken

"""How many tokens a model counts for one that was estimated, learned call by call. No I/O."""

from llm.context.budget import MIN_COUNTED_TOKENS, bounded
from llm.context.recent import RecentlyUsed

RISE, FALL = 0.3, 0.1
"""How far one count moves the ratio: an estimate that is too low costs a refused call, one that is
too high some turns of an old conversation."""


class Calibration:
    """The ratio of each model of one server; 1 where nothing has been counted yet."""

    def __init__(self) -> None:
        self._ratios: RecentlyUsed[float] = RecentlyUsed()

    def ratio(self, model: str) -> float:
        """Counted tokens for each estimated one, of late."""
        return self._ratios.get(model, 1.0)

    def learn(self, model: str, *, plain_tokens: float, counted_tokens: int) -> None:
        """Note what the model counted for a prompt that was estimated at `plain_tokens`.

        A count that was left out (0), one of a very short prompt, and one of less than half of
        what was expected teach nothing: the last is a prompt that was cut, or a version of Ollama
        that does not count what it finds in its cache.
        """
        if min(plain_tokens, counted_tokens) < MIN_COUNTED_TOKENS:
            return
        seen, known = bounded(counted_tokens / plain_tokens), self.ratio(model)
        if counted_tokens < plain_tokens * known / 2:
            return
        weight = 1.0 if model not in self._ratios else RISE if seen > known else FALL
        self._ratios[model] = known + (seen - known) * weight

"""Measuring one model call."""

import time

from llm import ModelReply
from tasks.job.result import Timings


class Stopwatch:
    """Measures one model call, in milliseconds."""

    def __init__(self) -> None:
        self.began_at = time.time()
        self.begin()

    def begin(self) -> None:
        """Measure the call that begins now; the wait in the queue ended when this was made."""
        self._began = time.monotonic()
        self._first_token: float | None = None

    def on_delta(self) -> None:
        """Note the first piece of the reply."""
        if self._first_token is None:
            self._first_token = time.monotonic()

    def timings(self, answer: ModelReply, *, sent_at: float) -> Timings:
        """What was measured, with what the model's server tells; `sent_at` is Unix time."""
        first = self._first_token
        queued_s = max(0.0, self.began_at - sent_at)
        final = answer.final
        return Timings(
            queue_wait_ms=round(queued_s * 1000, 1),
            first_token_ms=None if first is None else round((first - self._began) * 1000, 1),
            model_ms=round((time.monotonic() - self._began) * 1000, 1),
            load_ms=final.load_ms,
            slot_wait_ms=final.slot_wait_ms,
            prompt_eval_ms=final.prompt_eval_ms,
            eval_ms=final.eval_ms,
            tokens_per_s=final.tokens_per_s,
        )

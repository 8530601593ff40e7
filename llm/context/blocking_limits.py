"""The token budget of prompts for ordinary threads: `llm.context.limits` without an event loop."""

import threading
import time
from collections.abc import Callable, Iterable

from llm.context.budget import Fit, TokenBudget, measured
from llm.context.calibration import Calibration
from llm.context.windows import Windows
from llm.errors import ContextOverflowError, LLMError
from llm.settings import LLMSettings
from llm.wire.models import Loaded
from llm.wire.records import Final


class BlockingContextLimits:
    """Tells the room of one server's models, and learns from what came of prompts.

    `look` asks which models are loaded (an LLMError where that fails); at most one thread does.
    """

    def __init__(
        self,
        look: Callable[[], Iterable[Loaded]],
        settings: LLMSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._clock = clock
        self._windows = Windows(
            asked_tokens=settings.window_tokens, assumed_tokens=settings.assumed_window_tokens
        )
        self._calibration = Calibration()
        self._looking = threading.Lock()
        self._state = threading.Lock()

    def budget(self, model: str, max_tokens: int | None) -> TokenBudget:
        """The room of a prompt for `model` whose reply is bounded by `max_tokens`. Never raises."""
        self._freshen(model)
        with self._state:
            window = self._windows.of(model)
            ratio = self._calibration.ratio(model)
        return TokenBudget.of(window.tokens, max_tokens, ratio=ratio, is_known=window.is_known)

    def learn(self, model: str, fit: Fit, final: Final) -> None:
        """Note what the model counted for a prompt."""
        with self._state:
            self._calibration.learn(
                model, plain_tokens=fit.plain_tokens, counted_tokens=final.prompt_tokens
            )
            if not self._windows.of(model).is_known:
                self._windows.doubt(model)  # it is loaded now

    def budget_after(
        self, model: str, max_tokens: int | None, fit: Fit, refusal: ContextOverflowError
    ) -> TokenBudget:
        """The room for a second try after a refusal."""
        with self._state:
            if refusal.n_ctx:
                self._windows.note_refusal(model, refusal.n_ctx, self._clock())
            else:
                self._windows.doubt(model)
        return measured(self.budget(model, max_tokens), fit, refusal.n_prompt_tokens)

    def _freshen(self, model: str) -> None:
        with self._state:
            is_due = self._windows.is_due(model, self._clock())
        if not is_due or not self._looking.acquire(blocking=False):
            return
        try:
            loaded = self._look()
            with self._state:
                self._windows.note_loaded(model, loaded, self._clock())
        except LLMError:
            with self._state:
                self._windows.note_failure(model, self._clock())
        finally:
            self._looking.release()

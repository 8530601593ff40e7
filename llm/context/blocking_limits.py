"""The token budget of prompts for ordinary threads: `llm.context.limits` without an event loop."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from llm.context.budget import UNLIMITED, Fit, TokenBudget, fit, measured
from llm.context.model_limits import ModelLimits
from llm.errors import ContextOverflowError, LLMError
from llm.settings import LLMSettings
from llm.wire.address import is_cloud_address
from llm.wire.models import Loaded, ModelDetails, find_loaded, full_name, is_cloud
from llm.wire.records import Final


class BlockingContextLimits:
    """Knows how long prompts for one server's models may be, and learns from what came of them.

    `look_up` asks which models are loaded, and `details` what one is (an LLMError where that
    fails); one thread at a time does, and the others go on with what is known.
    """

    def __init__(
        self,
        look_up: Callable[[], tuple[Loaded, ...]],
        details: Callable[[str], ModelDetails],
        settings: LLMSettings,
    ) -> None:
        self._look_up = look_up
        self._details = details
        self._is_cloud = is_cloud_address(settings.servers[0])
        self._limits = ModelLimits(settings)
        # Two locks: a look-up may take a second, and nobody else waits for it.
        self._looking = threading.Lock()
        self._state = threading.Lock()

    def budget(self, model: str, max_tokens: int | None) -> TokenBudget:
        """The token budget of a prompt for `model`, its reply bounded by `max_tokens`.

        Never raises.
        """
        with self._state:
            is_due = self._limits.is_due(model, time.monotonic())
        if is_due and self._looking.acquire(blocking=False):
            try:
                self._renew(model)
            finally:
                self._looking.release()
        with self._state:
            return self._limits.budget(model, max_tokens)

    def left_for(
        self, model: str, messages: Sequence[Mapping[str, object]], max_tokens: int | None
    ) -> int | None:
        """What the window has left for a reply to these messages, by the estimate; None where it
        is not known. Never raises."""
        budget = self.budget(model, max_tokens)
        unlimited = replace(budget, window_tokens=UNLIMITED.window_tokens)
        return budget.left_after(fit([], [], messages, unlimited).estimated_tokens)

    def learn(self, model: str, fit: Fit, final: Final) -> None:
        """Note what the model counted for a prompt."""
        with self._state:
            self._limits.learn(model, fit, final.prompt_tokens)

    def budget_after(
        self, model: str, max_tokens: int | None, fit: Fit, refusal: ContextOverflowError
    ) -> TokenBudget:
        """The token budget of a second try after a refusal."""
        with self._state:
            self._limits.note_refusal(model, fit, refusal, time.monotonic())
        return measured(self.budget(model, max_tokens), fit, refusal.n_prompt_tokens)

    def _renew(self, model: str) -> None:
        try:
            loaded = None if self._is_elsewhere(model) else self._loaded_for(model)
        except LLMError:
            with self._state:
                self._limits.note_failure(model, time.monotonic())
            return
        with self._state:
            self._limits.note_loaded(model, loaded, time.monotonic())
            wants_details = self._limits.wants_details(model)
        if wants_details:
            with suppress(LLMError):  # the window that /api/ps reports serves without them
                self._note_details(model, self._details(model))

    def _is_elsewhere(self, model: str) -> bool:
        return self._is_cloud or is_cloud(model)

    def _loaded_for(self, model: str) -> Loaded | None:
        """What is in memory for a model: itself, or a model of the same weights."""
        loaded = self._look_up()
        found = find_loaded(model, loaded, {})
        if found is not None or not loaded:
            return found
        names = {full_name(name) for name in (model, *(one.name for one in loaded))}
        return find_loaded(
            model, loaded, {name: self._details(name).weights or "" for name in names}
        )

    def _note_details(self, model: str, details: ModelDetails) -> None:
        with self._state:
            self._limits.note_details(model, details)
            if details.is_remote or self._is_elsewhere(model):
                self._limits.note_elsewhere(model, time.monotonic())

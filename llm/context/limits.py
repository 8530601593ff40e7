"""How long the prompts of each model may be: windows looked up, counts learned from."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from llm.context.budget import Fit, TokenBudget, measured
from llm.context.model_limits import ModelLimits, budget_of
from llm.errors import ContextOverflowError, LLMError
from llm.http.catalog import LOADED, ModelCatalog
from llm.settings import LLMSettings
from llm.wire.address import label_of
from llm.wire.models import full_name
from llm.wire.records import Final

logger = logging.getLogger(__name__)

LOOKUP_TIMEOUT_S = 1.0
"""A call waits no longer for what is known of its model; without it an assumption serves."""

WINDOW_STEP = 256
"""llama.cpp makes a window this much longer at most, up to a multiple of it; /api/ps does not say
so (llama.cpp src/llama-context.cpp)."""


class Cataloged(Protocol):
    """One server whose models can be looked up."""

    catalog: ModelCatalog


class ContextLimits:
    """Knows how long a model's prompts may be, and learns from what came of them.

    With several servers a prompt fits each of them: a call may move from one to another. One per
    event loop.
    """

    def __init__(
        self,
        servers: Sequence[Cataloged],
        settings: LLMSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._servers = tuple(_Server(server.catalog, settings, clock) for server in servers)

    async def budget(self, model: str, max_tokens: int | None) -> TokenBudget:
        """The token budget of a prompt for `model` whose reply is bounded by `max_tokens`.

        Waits for a server, a second at most, only where nothing is known yet; never raises.
        """
        unknown = [look for server in self._servers if (look := server.renew(model)) is not None]
        if unknown:
            await asyncio.wait(unknown, timeout=LOOKUP_TIMEOUT_S)
        return self._budget(model, max_tokens)

    def reports_window(self, model: str) -> bool:
        """Whether it is worth loading a model to know its window: old versions never report it,
        and no server has one of the cloud."""
        return any(server.reports_window(model) for server in self._servers)

    def doubt(self, model: str) -> None:
        """Have the window of a model looked up for its next budget."""
        for server in self._servers:
            server.limits.doubt(model)

    def learn(self, model: str, fit: Fit, final: Final) -> None:
        """Note what the model counted for a prompt that it has answered."""
        self._at(final.server).limits.learn(model, fit, final.prompt_tokens)

    def ran_past(self, model: str, final: Final) -> bool:
        """Whether a reply was longer than the window had room for: its server has then dropped the
        older half of what the model saw, and gone on. False where no window is known."""
        window = self._at(final.server).limits.window(model)
        longest = -(-window.tokens // WINDOW_STEP) * WINDOW_STEP
        used = final.prompt_tokens + final.completion_tokens
        return window.is_known and window.is_loaded_here and used > longest

    async def budget_after(
        self,
        model: str,
        max_tokens: int | None,
        fit: Fit,
        refusal: ContextOverflowError,
    ) -> TokenBudget:
        """The token budget of a second try, after a refusal.

        The ratio is that of this very prompt where the server said how long it was.
        """
        for server in self._servers:
            server.limits.note_refusal(model, fit, refusal, self._clock())
            if not refusal.n_ctx:
                await server.look_anew(model)
        return measured(self._budget(model, max_tokens), fit, refusal.n_prompt_tokens)

    def _budget(self, model: str, max_tokens: int | None) -> TokenBudget:
        # A call may move to another server, so the prompt must fit the narrowest window. A server
        # whose window is not known does not count: it would narrow all others by an assumption.
        windows = [server.limits.window(model) for server in self._servers]
        known = [window for window in windows if window.is_known] or windows
        narrowest = min(known, key=lambda window: window.tokens)
        # For the same reason the highest ratio: each server's runner may count otherwise.
        ratio = max(server.limits.ratio(model) for server in self._servers)
        image_tokens = max(server.limits.image_tokens(model) for server in self._servers)
        return budget_of(narrowest, max_tokens, ratio, image_tokens)

    def _at(self, label: str) -> "_Server":
        found = (one for one in self._servers if one.label == label)
        return next(found, self._servers[0])


class _Server:
    """The limits of one server's models, and how they are looked up."""

    def __init__(
        self, catalog: ModelCatalog, settings: LLMSettings, clock: Callable[[], float]
    ) -> None:
        self.label = label_of(catalog.base_url)
        self.limits = ModelLimits(settings.at(catalog.base_url))
        self._catalog = catalog
        self._clock = clock

    def renew(self, model: str) -> "asyncio.Task[None] | None":
        """Look up the window if it is time; the look-up is returned if it is worth waiting for."""
        if not self.limits.is_due(model, self._clock()):
            return None
        look = self._look(model)
        return None if self.limits.window(model).is_known else look

    def reports_window(self, model: str) -> bool:
        """Whether the server reports the window of the model once it is loaded."""
        return self.limits.reports_window(model) and not self._catalog.is_elsewhere(model)

    async def look_anew(self, model: str) -> None:
        """Look once more: one under way may have been answered before the model was loaded."""
        look_ups = self._catalog.look_ups
        if (old := look_ups.get(_name(model)) or look_ups.get(LOADED)) is not None:
            await asyncio.wait((old,), timeout=LOOKUP_TIMEOUT_S)
        await asyncio.wait((self._look(model),), timeout=LOOKUP_TIMEOUT_S)

    def _look(self, model: str) -> "asyncio.Task[None]":
        return self._catalog.look_ups.once(_name(model), lambda: self._look_up(model))

    async def _look_up(self, model: str) -> None:
        try:
            # A look-up that takes longer goes on, and its answer serves whoever asks next.
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                if not self._catalog.is_elsewhere(model):
                    loaded = await self._catalog.loaded_for(model)
                    self.limits.note_loaded(model, loaded, self._clock())
                await self._look_at_details(model)
                if self._catalog.is_elsewhere(model):
                    self.limits.note_elsewhere(model, self._clock())
        except (LLMError, TimeoutError) as exc:
            logger.info("the window of %s is unknown; a default is assumed: %s", model, exc)
            self.limits.note_failure(model, self._clock())

    async def _look_at_details(self, model: str) -> None:
        if not self.limits.wants_details(model):
            return
        try:
            self.limits.note_details(model, await self._catalog.details(model))
        except LLMError:
            if not self.limits.window(model).is_known:
                raise


def _name(model: str) -> str:
    return f"window of {full_name(model)}"

"""How much each model can be shown: windows looked up, counts learned from. One per event loop."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import orjson

from llm.context.budget import Fit, TokenBudget, is_cut, measured
from llm.context.calibration import Calibration
from llm.context.windows import Window, Windows, read_shown
from llm.errors import ContextOverflowError, LLMError
from llm.settings import LLMSettings
from llm.wire.models import read_loaded
from llm.wire.records import Final

logger = logging.getLogger(__name__)

LOOKUP_TIMEOUT_S = 1.0
"""A call waits no longer for what is known of its model; without it an assumption serves."""


class LookUp(Protocol):
    """One server that can be asked what it has."""

    base_url: str

    async def lookup(self, path: str, *, timeout_s: float, content: bytes | None = None) -> bytes:
        """The body of the answer. Raises an LLMError."""


class ContextLimits:
    """Tells the room of a model's prompts, and learns from what came of them.

    With several servers it is the room that fits each of them: a call may move from one to another.
    """

    def __init__(
        self,
        servers: Sequence[LookUp],
        settings: LLMSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = tuple(_Server(server, settings, clock) for server in servers)

    async def budget(self, model: str, max_tokens: int | None) -> TokenBudget:
        """The room of a prompt for `model` whose reply is bounded by `max_tokens`.

        Waits for a server, a second at most, only where nothing is known yet; never raises.
        """
        first = [look for server in self._servers if (look := server.freshen(model)) is not None]
        if first:
            await asyncio.wait(first, timeout=LOOKUP_TIMEOUT_S)
        return self._budget(model, max_tokens)

    def tells_loaded(self, model: str) -> bool:
        """Whether it is worth loading a model to know its window: old versions never tell it."""
        return any(server.windows.is_told(model) for server in self._servers)

    def doubt(self, model: str) -> None:
        """Have the window of a model looked up for the next room of it."""
        for server in self._servers:
            server.windows.doubt(model)

    def learn(self, model: str, fit: Fit, final: Final) -> None:
        """Note what the model counted for a prompt, unless it was cut."""
        server = self._at(final.server)
        server.calibration.learn(
            model, plain_tokens=fit.plain_tokens, counted_tokens=final.prompt_tokens
        )
        if not server.windows.of(model).is_known:
            server.windows.doubt(model)  # it is loaded now: the next call asks for its window

    async def is_cut(self, model: str, fit: Fit, final: Final, budget: TokenBudget) -> bool:
        """Whether the count of a reply shows that the prompt was cut silently.

        The window is looked up anew where the count is doubtful: it may be another one than was
        thought when the prompt was made.
        """
        if not 0 < final.prompt_tokens * 1.3 < fit.estimated_tokens:
            return False
        server = self._at(final.server)
        await server.look_anew(model)
        windows = {budget.window_tokens, server.windows.of(model).tokens}
        return any(is_cut(final.prompt_tokens, fit.estimated_tokens, one) for one in windows)

    async def budget_after(
        self,
        model: str,
        max_tokens: int | None,
        fit: Fit,
        refusal: ContextOverflowError | None = None,
    ) -> TokenBudget:
        """The room for a second try, after a refusal or, without one, after a silent cut.

        The ratio is that of this very prompt where the server told how long it was.
        """
        for server in self._servers:
            if refusal is not None and refusal.n_ctx:
                server.refused(model, refusal.n_ctx)
            else:
                await server.look_anew(model)
        budget = self._budget(model, max_tokens)
        counted = refusal.n_prompt_tokens if refusal is not None else None
        if counted:
            for server in self._servers:
                server.calibration.learn(
                    model, plain_tokens=fit.plain_tokens, counted_tokens=counted
                )
        return measured(budget, fit, counted)

    async def aclose(self) -> None:
        """Stop looking. Safe to repeat."""
        for server in self._servers:
            await server.aclose()

    def _budget(self, model: str, max_tokens: int | None) -> TokenBudget:
        windows = [server.windows.of(model) for server in self._servers]
        known = [window for window in windows if window.is_known] or windows
        narrowest: Window = min(known, key=lambda window: window.tokens)
        ratio = max(server.calibration.ratio(model) for server in self._servers)
        return TokenBudget.of(
            narrowest.tokens, max_tokens, ratio=ratio, is_known=narrowest.is_known
        )

    def _at(self, label: str) -> "_Server":
        found = (one for one in self._servers if one.label == label)
        return next(found, self._servers[0])


class _Server:
    """What is known of one server's models."""

    def __init__(self, server: LookUp, settings: LLMSettings, clock: Callable[[], float]) -> None:
        self.label = server.base_url.partition("://")[2]
        self.windows = Windows(
            asked_tokens=settings.window_tokens, assumed_tokens=settings.assumed_window_tokens
        )
        self.calibration = Calibration()
        self._server = server
        self._clock = clock
        self._looks: dict[str, asyncio.Task[None]] = {}

    def freshen(self, model: str) -> "asyncio.Task[None] | None":
        """Look anew if it is time; the look is given where it is worth waiting for."""
        if not self.windows.is_due(model, self._clock()):
            return None
        look = self.look(model)
        return None if self.windows.of(model).is_known else look

    def look(self, model: str) -> "asyncio.Task[None]":
        """Ask the server, at most once at a time."""
        look = self._looks.get(model)
        if look is None:
            look = self._looks[model] = asyncio.create_task(self._ask(model))
            look.add_done_callback(lambda _: self._looks.pop(model, None))
        return look

    async def look_anew(self, model: str) -> None:
        """Look once more: a look under way may have been answered before the model was loaded."""
        for _ in range(2 if model in self._looks else 1):
            await asyncio.wait((self.look(model),), timeout=LOOKUP_TIMEOUT_S)

    def refused(self, model: str, n_ctx: int) -> None:
        """The server has named its window itself."""
        self.windows.note_refusal(model, n_ctx, self._clock())

    async def aclose(self) -> None:
        """Stop looking."""
        looks = [*self._looks.values()]
        for look in looks:
            look.cancel()
        if looks:
            await asyncio.wait(looks)

    async def _ask(self, model: str) -> None:
        try:
            body = await self._server.lookup("/api/ps", timeout_s=LOOKUP_TIMEOUT_S)
            loaded = read_loaded(body, base_url=self._server.base_url)
            self.windows.note_loaded(model, loaded, self._clock())
            if self.windows.wants_show(model):
                asked = orjson.dumps({"model": model})
                shown = await self._server.lookup(
                    "/api/show", timeout_s=LOOKUP_TIMEOUT_S, content=asked
                )
                self.windows.note_shown(model, read_shown(shown))
        except LLMError as exc:
            logger.info("the window of %s is not told: %s", model, exc)
            self.windows.note_failure(model, self._clock())

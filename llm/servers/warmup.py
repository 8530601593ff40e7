"""Loading models ahead of their chats: once per server and model, however many chats wait.

Ollama aborts a load when the request that began it goes away (ollama#8006), so the load is a task
of its own that no chat's time-out and no user's cancel ends. Processes need no lock among them: of
two equal loads Ollama does one, and answers the second when the first is done.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from llm.errors import (
    LLMError,
    LLMTimeoutError,
    ModelNotFoundError,
    OllamaFailedError,
    OllamaUnreachableError,
)
from llm.http.client import OllamaClient
from llm.http.connection import HEALTH_TIMEOUT_S
from llm.http.shared_tasks import SharedTasks, result_of
from llm.wire.models import RecentlyUsed
from llm.wire.requests import ChatRequest, seconds_of
from llm.wire.timeouts import KEEP_WARM_S, Timeouts

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
SILENT_LOOKS = 2
"""A server that answers so many looks in a row with silence is not loading but gone."""

WORTH_LOGGING_S = 1.0
DEFAULT_KEEP_ALIVE_S = 300.0
"""What Ollama does where neither we nor its OLLAMA_KEEP_ALIVE say otherwise."""

TRUSTED = 0.8
"""The part of the keep_alive for which a model counts as loaded; then it is loaded anew."""

SHORTEST_REWARM_S = 10.0
"""A keep_alive below this is meant to let go: such a model is not kept."""

FAILED_PAUSE_S = 30.0
"""After a load that failed: how long no load is begun without a chat that waits for it."""

# What Ollama reads at load time: another value reloads the model (api/types.go, Runner).
_LOAD_TIME = (
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
)


@dataclass(slots=True)
class Warmth:
    """A model that was loaded, with what, and how long that can be trusted."""

    request: ChatRequest
    keep_alive_s: float
    until: float
    used_at: float
    timer: asyncio.TimerHandle | None = None


def load_request(request: ChatRequest) -> ChatRequest:
    """The request that loads the model of a chat just as the chat would, and asks nothing."""
    # Without messages a request only loads (docs/ollama.md, Requests). It has the chat's `shift`,
    # for another one would load the model again (docs/ollama.md, Loading).
    options = {name: request.options[name] for name in _LOAD_TIME if name in request.options}
    return ChatRequest(
        model=request.model, options=options, keep_alive=request.keep_alive, shift=request.shift
    )


class Warmer:
    """The loaded models of one server, as far as this process loads them. One event loop.

    A model that was used within `keep_warm_s` is loaded anew before Ollama lets it go. `on_loaded`
    is called with each model that is loaded. `pull`, if there is one, downloads a model that the
    server lacks; it raises ModelNotFoundError where it may not.
    """

    def __init__(
        self,
        client: OllamaClient,
        *,
        limits: Timeouts,
        keep_warm_s: float = KEEP_WARM_S,
        on_loaded: Callable[[str], None],
        pull: Callable[[str], Awaitable[None]] | None = None,
        shortest_rewarm_s: float = SHORTEST_REWARM_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._client = client
        self._limits = limits
        self._keep_warm_s = keep_warm_s
        self._on_loaded = on_loaded
        self._pull = pull
        self._shortest_rewarm_s = shortest_rewarm_s
        self._look_every_s = look_every_s
        self._warm: dict[str, Warmth] = {}
        self._loads = SharedTasks()
        self._failed_until: RecentlyUsed[float] = RecentlyUsed()

    def is_warm(self, request: ChatRequest) -> bool:
        """Whether the model is loaded as `request` needs it, as far as is known."""
        warmth = self._warm.get(request.model)
        if warmth is None or warmth.until <= time.monotonic():
            return False
        known = warmth.request
        return known.shift == request.shift and all(
            known.options.get(name) == request.options.get(name) for name in _LOAD_TIME
        )

    # No lock among processes: docs/decisions.md, "Processes do not agree on warm-ups".
    async def ensure(self, request: ChatRequest) -> None:
        """Return once the model is loaded as `request` needs it. Raises the LLMError of the load.

        Who is cancelled while waiting leaves the load running.
        """
        # With a keep_alive of 0 the request that loads a model would unload it.
        if self.is_warm(request) or _keep_alive_s(request) == 0:
            return
        if (other := self._loads.get(request.model)) is not None:
            await self._end_of(other, request.model)
            if self.is_warm(request):
                return
        # A load with other options may have come in between; what follows is ours.
        await self._end_of(self._begin(request), request.model)

    def begin(self, request: ChatRequest) -> None:
        """Have the model loaded in the background, unless that failed a moment ago."""
        if self._failed_until.get(request.model, 0.0) <= time.monotonic():
            self._begin(request)

    def restart(self, request: ChatRequest, unload: Callable[[], Awaitable[None]]) -> None:
        """Have the model loaded anew after `unload`; chats wait for it."""
        self.forget(request.model)
        if (under_way := self._loads.get(request.model)) is not None:
            under_way.cancel()
        self._loads.begin(request.model, self._load(load_request(request), unload))

    def note_used(self, model: str) -> None:
        """A chat has ended well: the model's time to stay loaded begins anew."""
        if (warmth := self._warm.get(model)) is not None:
            # Ollama counts anew from the end of the last request, too (docs/ollama.md, Loading).
            warmth.used_at = now = time.monotonic()
            warmth.until = now + TRUSTED * warmth.keep_alive_s

    def forget(self, model: str) -> None:
        """The model may not be loaded any more: the next chat looks to it first."""
        warmth = self._warm.pop(model, None)
        if warmth is not None and warmth.timer is not None:
            warmth.timer.cancel()

    async def aclose(self) -> None:
        """Give up the loads under way, and load nothing more."""
        for model in list(self._warm):
            self.forget(model)
        await self._loads.aclose()

    def _begin(self, request: ChatRequest) -> "asyncio.Task[None]":
        return self._loads.once(request.model, lambda: self._load(load_request(request)))

    async def _end_of(self, load: "asyncio.Task[object]", model: str) -> None:
        """Wait for a load, and for the one that a restart has put in its place."""
        await asyncio.wait((load,))
        while load.cancelled() and (successor := self._loads.get(model)) is not None:
            load = successor
            await asyncio.wait((load,))
        await result_of(load)

    async def _load(
        self, request: ChatRequest, before: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Load the model. Raises an LLMError, which is in the log then."""
        if before is not None:
            await before()
        url, model, began_at = self._client.base_url, request.model, time.monotonic()
        try:
            try:
                await self._loaded_or_pulled(request)
            except LLMTimeoutError as exc:
                # No time-out for the chats: their own limits have not passed, and another server
                # may have the model.
                download = " or not download it within OLLAMA_PULL_TIMEOUT" if self._pull else ""
                raise OllamaFailedError(
                    f"Ollama at {url} did not load {model} within {self._limits.total_s:g} s "
                    f"(LLM_LOAD_TIMEOUT){download}"
                ) from exc
        except LLMError as exc:
            self._failed_until[model] = time.monotonic() + FAILED_PAUSE_S
            logger.warning("%s cannot load %s, and the chats that wait fail: %s", url, model, exc)
            raise
        self._failed_until.pop(model, None)
        now = time.monotonic()
        if now - began_at > WORTH_LOGGING_S:
            logger.info("%s has loaded %s in %.1f s", url, model, now - began_at)
        self._note_loaded(request, now)

    async def _loaded_or_pulled(self, request: ChatRequest) -> None:
        try:
            await self._answered(request)
        except ModelNotFoundError:
            if self._pull is None:
                raise
            await self._pull(request.model)
            await self._answered(request)

    async def _answered(self, request: ChatRequest) -> None:
        """Wait for the load as long as the server shows that it is alive."""
        # A load passes without a byte; that the server is alive shows only in another answer of it.
        load = asyncio.create_task(self._client.chat(request, timeouts=self._limits))
        silent_looks = 0
        try:
            while silent_looks < SILENT_LOOKS:
                done, _ = await asyncio.wait((load,), timeout=self._look_every_s)
                if done:
                    load.result()
                    return
                is_alive = await self._client.health_check(
                    timeout_s=min(HEALTH_TIMEOUT_S, self._look_every_s)
                )
                silent_looks = 0 if is_alive else silent_looks + 1
        finally:
            if not load.done():
                load.cancel()
                await asyncio.wait((load,))
        raise OllamaUnreachableError(
            f"Ollama at {self._client.base_url} fell silent while it was to load {request.model}"
        )

    def _note_loaded(self, request: ChatRequest, now: float) -> None:
        before = self._warm.get(request.model)
        # A load is no use: else each would be the reason for the next, for ever.
        used_at = now if before is None else before.used_at
        self.forget(request.model)
        keep_alive_s = _keep_alive_s(request)
        warmth = Warmth(request, keep_alive_s, now + TRUSTED * keep_alive_s, used_at)
        self._warm[request.model] = warmth
        self._on_loaded(request.model)
        self._arm(warmth)

    def _arm(self, warmth: Warmth) -> None:
        # Infinite is what Ollama never drops (a negative keep_alive).
        if self._shortest_rewarm_s <= warmth.keep_alive_s < float("inf"):
            wait_s = warmth.until - time.monotonic()
            loop = asyncio.get_running_loop()
            warmth.timer = loop.call_later(max(wait_s, 0.0), self._expire, warmth)

    def _expire(self, warmth: Warmth) -> None:
        """The model's time is nearly over, or was when the timer was set."""
        now, model = time.monotonic(), warmth.request.model
        if warmth.until > now:
            self._arm(warmth)
        elif now - warmth.used_at < self._keep_warm_s:
            self.begin(warmth.request)
        else:
            self.forget(model)


def _keep_alive_s(request: ChatRequest) -> float:
    if request.keep_alive is None:
        return DEFAULT_KEEP_ALIVE_S
    seconds = seconds_of(request.keep_alive)
    return float("inf") if seconds < 0 else seconds

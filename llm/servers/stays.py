"""How long models stay in a server's memory, as far as is known.

Whether a model is still there is what /api/ps says: another client may have set its keep_alive, a
fourth model may have taken its place, or a run-time failure all places (docs/ollama.md, Loading).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from llm.errors import LLMError
from llm.http.catalog import ModelCatalog
from llm.wire.models import Loaded, full_name
from llm.wire.requests import ChatRequest, seconds_of
from llm.wire.timeouts import KEEP_WARM_S

DEFAULT_KEEP_ALIVE_S = 300.0
"""What Ollama does where neither we nor its OLLAMA_KEEP_ALIVE say otherwise: for servers that do
not tell when they drop a model."""

TRUSTED_S = 5.0
"""How long after the last sign of it a model is taken for loaded without a look at /api/ps."""
EXPIRES_SOON_S = 2.0
"""A model that has less left is loaded again: a chat could come too late."""
FOR_EVER_S = 1e8

USED_UP = 0.8
"""The part of its time to stay loaded after which a model in use is loaded anew."""

SHORTEST_REWARM_S = 10.0
"""A keep_alive below this is meant to let go: such a model is not kept."""

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
class _Stay:
    """A model that was loaded, with what, and what is known of it since; times of our own clock.

    `window_tokens` is the window that it was loaded with, 0 where the server does not say.
    """

    request: ChatRequest
    window_tokens: int
    keep_alive_s: float
    expires_at: float
    seen_at: float
    used_at: float
    timer: asyncio.TimerHandle | None = None

    def lasts(self, now: float) -> bool:
        """Whether a chat that is sent now finds it, unless something happens."""
        return now + EXPIRES_SOON_S < self.expires_at

    @property
    def due_at(self) -> float:
        """When it is to be loaded anew if it is in use."""
        return self.expires_at - (1 - USED_UP) * self.keep_alive_s


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepWarm:
    """How loaded models are kept, in seconds.

    A model is kept for `keep_warm_s` after its last use, unless its keep_alive is below
    `shortest_rewarm_s`; `trusted_s` after the last sign of it /api/ps is asked.
    """

    keep_warm_s: float = KEEP_WARM_S
    shortest_rewarm_s: float = SHORTEST_REWARM_S
    trusted_s: float = TRUSTED_S


def load_request(request: ChatRequest) -> ChatRequest:
    """The request that loads the model of a chat just as the chat would, and asks nothing."""
    # Without messages a request only loads (docs/ollama.md, Requests). It has the chat's `shift`,
    # or none as the chat: another one would load the model again (docs/ollama.md, Loading).
    options = {name: request.options[name] for name in _LOAD_TIME if name in request.options}
    return ChatRequest(
        model=request.model, options=options, keep_alive=request.keep_alive, shift=request.shift
    )


def keep_alive_of(request: ChatRequest) -> float:
    """For how many seconds a request has its model kept; infinite is for ever."""
    if request.keep_alive is None:
        return DEFAULT_KEEP_ALIVE_S
    seconds = seconds_of(request.keep_alive)
    return float("inf") if seconds < 0 else seconds


class Stays:
    """The stays of one server's models. One event loop.

    `on_due` is called with the request that loaded a model which is in use and about to be dropped.
    """

    def __init__(
        self, catalog: ModelCatalog, keep: KeepWarm, *, on_due: Callable[[ChatRequest], None]
    ) -> None:
        self._catalog = catalog
        self._keep = keep
        self._on_due = on_due
        self._stays: dict[str, _Stay] = {}

    def is_warm(self, request: ChatRequest) -> bool:
        """Whether the model is loaded as `request` needs it, by a sign that is seconds old; or
        whether it needs no load, because another server answers for it."""
        stay, now = self._fitting(request), time.monotonic()
        if stay is None:
            return self._catalog.is_elsewhere(request.model)
        return now < stay.seen_at + self._keep.trusted_s and stay.lasts(now)

    async def is_still_warm(self, request: ChatRequest) -> bool:
        """The same after a look at /api/ps; False where it does not say."""
        if self._fitting(request) is None:
            return False
        try:
            found = await self._catalog.loaded_for(request.model)
        except LLMError:
            return False
        stay = self._fitting(request)
        if found is None or stay is None:
            return False
        self._note_seen(stay, found)
        # Another client may have had it loaded with another window.
        has_window = stay.window_tokens in (0, found.window_tokens)
        return has_window and stay.lasts(stay.seen_at)

    def begin(self, request: ChatRequest, found: Loaded | None) -> None:
        """The model was loaded for `request`; `found` is what /api/ps then has for it."""
        before, now = self._stays.get(full_name(request.model)), time.monotonic()
        # A load is no use: else each would be the reason for the next, for ever.
        used_at = now if before is None else before.used_at
        self.forget(request.model)
        keep_alive_s = keep_alive_of(request)
        stay = _Stay(request, 0, keep_alive_s, now + keep_alive_s, now, used_at)
        if found is not None:
            stay.window_tokens = found.window_tokens
            self._note_seen(stay, found)
            # The whole of it: its time begins with the load.
            stay.keep_alive_s = max(0.0, stay.expires_at - now)
        self._stays[full_name(request.model)] = stay
        self._arm(stay)

    def note_used(self, model: str) -> None:
        """A chat has ended well: the model's time to stay loaded begins anew."""
        if (stay := self._stays.get(full_name(model))) is not None:
            # Ollama counts anew from the end of the last request, too (docs/ollama.md, Loading).
            stay.used_at = stay.seen_at = now = time.monotonic()
            stay.expires_at = now + stay.keep_alive_s

    def forget(self, model: str) -> None:
        """The model may not be loaded any more."""
        stay = self._stays.pop(full_name(model), None)
        if stay is not None and stay.timer is not None:
            stay.timer.cancel()

    def clear(self) -> None:
        """Forget all models, and keep none."""
        for model in list(self._stays):
            self.forget(model)

    def _fitting(self, request: ChatRequest) -> _Stay | None:
        """The model's stay, if it was loaded as `request` needs it."""
        stay = self._stays.get(full_name(request.model))
        if stay is None or stay.request.shift != request.shift:
            return None
        one, other = stay.request.options, request.options
        is_equal = one == other or all(one.get(name) == other.get(name) for name in _LOAD_TIME)
        return stay if is_equal else None

    def _note_seen(self, stay: _Stay, found: Loaded) -> None:
        """The model is loaded just now."""
        stay.seen_at = now = time.monotonic()
        left_s = self._catalog.seconds_left(found)
        if left_s is not None:
            stay.expires_at = now + left_s if left_s < FOR_EVER_S else float("inf")

    def _arm(self, stay: _Stay) -> None:
        # Infinite is what Ollama never drops (a negative keep_alive).
        if self._keep.shortest_rewarm_s <= stay.keep_alive_s < float("inf"):
            wait_s = stay.due_at - time.monotonic()
            loop = asyncio.get_running_loop()
            stay.timer = loop.call_later(max(wait_s, 0.0), self._expire, stay)

    def _expire(self, stay: _Stay) -> None:
        """The model's time is nearly over, or was when the timer was set."""
        now, model = time.monotonic(), stay.request.model
        if stay.due_at > now:
            self._arm(stay)
        elif now - stay.used_at < self._keep.keep_warm_s:
            self._on_due(stay.request)
        else:
            self.forget(model)

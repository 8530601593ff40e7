"""Loading models ahead of their chats: once per server and model, however many chats wait.

Ollama aborts a load when the request that began it goes away (ollama#8006), so the load is a task
of its own that no chat's time-out and no user's cancel ends. Processes need no lock among them: of
two equal loads Ollama does one, and answers the second when the first is done.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

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
from llm.servers.stays import KeepWarm, Stays, keep_alive_of, load_request
from llm.wire.models import RecentlyUsed, full_name
from llm.wire.requests import ChatRequest
from llm.wire.timeouts import Timeouts

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
SILENT_LOOKS = 2
"""A server that answers so many looks in a row with silence is not loading but gone."""

WORTH_LOGGING_S = 1.0
FAILED_PAUSE_S = 30.0
"""After a load that failed: how long no load is begun without a chat that waits for it."""

UNLOADED_WITHIN_S = 150.0
"""How long the calls of others may hold a model that is to be restarted: a bit more than their
first-token limit by default."""


class Warmer:
    """The loaded models of one server, as far as this process loads them. One event loop.

    A model that was used lately is loaded anew before Ollama lets it go (`keep`). `on_loaded`
    is called with each model that is loaded. `pull`, if there is one, downloads a model that the
    server lacks; it raises ModelNotFoundError where it may not.
    """

    def __init__(
        self,
        client: OllamaClient,
        *,
        limits: Timeouts,
        keep: KeepWarm | None = None,
        on_loaded: Callable[[str], None],
        pull: Callable[[str], Awaitable[None]] | None = None,
        look_every_s: float = LOOK_EVERY_S,
        unloaded_within_s: float = UNLOADED_WITHIN_S,
    ) -> None:
        self._client = client
        self._limits = limits
        self._on_loaded = on_loaded
        self._pull = pull
        self._keep = keep or KeepWarm()
        self._look_every_s = look_every_s
        self._unloaded_within_s = unloaded_within_s
        self._stays = Stays(client.catalog, self._keep, on_due=self._keep_loaded)
        self._loads = SharedTasks()
        self._looks = SharedTasks()
        self._failed_until: RecentlyUsed[float] = RecentlyUsed()

    def is_warm(self, request: ChatRequest) -> bool:
        """Whether the model is loaded as `request` needs it, as far as is known without a look; or
        whether it needs no load, because another server answers for it."""
        return self._stays.is_warm(request)

    # No lock among processes: docs/decisions.md, "Processes do not agree on warm-ups".
    async def ensure(self, request: ChatRequest) -> bool:
        """Return once the model is loaded as `request` needs it; whether it was loaded just now.

        Raises the LLMError of the load. Who is cancelled while waiting leaves the load running.
        """
        # With a keep_alive of 0 the request that loads a model would unload it.
        if self.is_warm(request) or keep_alive_of(request) == 0:
            return False
        if (other := self._loads.get(full_name(request.model))) is not None:
            await self._end_of(other, request.model)
            if self.is_warm(request):
                return True
        elif await self._stays.is_still_warm(request):
            return False
        # A load with other options may have come in between; what follows is ours.
        await self._end_of(self._begin(request), request.model)
        return True

    def begin(self, request: ChatRequest) -> None:
        """Have the model loaded in the background, unless that failed a moment ago."""
        is_elsewhere = self._client.catalog.is_elsewhere(request.model)
        if not is_elsewhere and (self._failed_until.of(request.model) or 0.0) <= time.monotonic():
            self._begin(request)

    def restart(self, request: ChatRequest, unload: Callable[[], Awaitable[None]]) -> None:
        """Have the model loaded anew after `unload`, which is repeated until it is gone; chats wait
        for it."""
        self.forget(request.model)
        name = full_name(request.model)
        if (under_way := self._loads.get(name)) is not None:
            under_way.cancel()
        self._loads.begin(name, self._reload(load_request(request), unload))

    def note_used(self, model: str) -> None:
        """A chat has ended well: the model's time to stay loaded begins anew."""
        self._stays.note_used(model)

    def forget(self, model: str) -> None:
        """The model may not be loaded any more: the next chat looks to it first."""
        self._stays.forget(model)

    def rest(self) -> None:
        """Keep no model loaded from here on, until a chat has it loaded again."""
        self._stays.clear()

    async def aclose(self) -> None:
        """Give up the loads under way, and load nothing more."""
        self.rest()
        await self._looks.aclose()
        await self._loads.aclose()

    def _keep_loaded(self, request: ChatRequest) -> None:
        """The model is in use, and its time is nearly over."""
        name = full_name(request.model)
        self._looks.once(name, lambda: self._load_again(request))

    async def _load_again(self, request: ChatRequest) -> None:
        with suppress(LLMError):  # a load says what is wrong
            if await self._client.catalog.loaded_for(request.model) is None:
                # Another model has its place, and the two must not drive each other out.
                self.forget(request.model)
                return
        self.begin(request)

    def _begin(self, request: ChatRequest) -> "asyncio.Task[None]":
        loaded = load_request(request)
        return self._loads.once(full_name(request.model), lambda: self._load(loaded, loaded))

    async def _end_of(self, load: "asyncio.Task[object]", model: str) -> None:
        """Wait for a load, and for the one that a restart has put in its place."""
        await asyncio.wait((load,))
        while load.cancelled() and (successor := self._loads.get(full_name(model))) is not None:
            load = successor
            await asyncio.wait((load,))
        await result_of(load)

    async def _reload(self, request: ChatRequest, unload: Callable[[], Awaitable[None]]) -> None:
        """Unload the model and load it anew. Raises an LLMError."""
        # While the calls of others last, an unload only sets the model's time to stay to 0, and a
        # request with a keep_alive puts it back (docs/ollama.md, Loading). So ours comes when the
        # model is gone, and without one.
        url, model, until = self._client.base_url, request.model, time.monotonic()
        until += self._unloaded_within_s
        while True:
            await unload()
            try:
                if await self._client.catalog.loaded_for(model) is None:
                    break
            except LLMError:
                break  # the load will say what is wrong
            if time.monotonic() >= until:
                logger.warning(
                    "%s does not unload %s, because other calls use it; it stays loaded: if "
                    "it does not respond, restart that Ollama",
                    url,
                    model,
                )
                break
        await self._load(request, replace(request, keep_alive=None))

    async def _load(self, request: ChatRequest, sent: ChatRequest) -> None:
        """Load the model for `request` by the request `sent`. Raises an LLMError, which is in the
        log then."""
        url, model, began_at = self._client.base_url, request.model, time.monotonic()
        try:
            try:
                await self._loaded_or_pulled(sent)
                await self._note_loaded(request, sent)
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
            logger.warning("%s cannot load %s; waiting chats fail: %s", url, model, exc)
            raise
        self._failed_until.forget(model)
        now = time.monotonic()
        if now - began_at > WORTH_LOGGING_S:
            logger.info("%s has loaded %s in %.1f s", url, model, now - began_at)

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
            f"Ollama at {self._client.base_url} stopped responding while loading {request.model}"
        )

    async def _note_loaded(self, request: ChatRequest, sent: ChatRequest) -> None:
        """Note how long the model stays, as /api/ps says it. Raises an LLMError."""
        catalog, model, found = self._client.catalog, request.model, None
        with suppress(LLMError):  # a gateway may not let it through
            found = await catalog.loaded_for(model)
            if found is None and keep_alive_of(request) >= self._keep.shortest_rewarm_s:
                # Another one may have taken its place at once, but not twice.
                await self._answered(sent)
                found = await catalog.loaded_for(model)
                if found is None:
                    catalog.note_unlisted(model)
                    return
        self._stays.begin(request, found)
        self._on_loaded(model)

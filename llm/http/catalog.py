"""What one Ollama says of its models, looked up in one place.

Three questions, each asked at most once at a time however many callers want to know: GET /api/tags
(what is installed), GET /api/ps (what is loaded), POST /api/show (what a model is and can do). From
the answers come the windows (`llm.context`), how ready a server is for a model (`llm.servers`) and
the abilities of models (`llm.http.capabilities`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import orjson

from llm.errors import LLMError
from llm.http.shared_tasks import SharedTasks, result_of
from llm.wire.address import is_cloud_address
from llm.wire.models import (
    Loaded,
    ModelDetails,
    RecentlyUsed,
    find_loaded,
    full_name,
    is_cloud,
    read_details,
    read_loaded,
    read_models,
)

logger = logging.getLogger(__name__)

LOADED = "/api/ps"

MODELS_AGE_S = 10.0
"""Older answers on what is installed and loaded are looked up again, in the background."""
DETAILS_AGE_S = 60.0
"""How long details count: a model may be pulled anew under its name."""

LOOK_S = 1.0
UNLISTED_S = 600.0
"""How long a model is taken for one that this server never lists as loaded: what stands behind a
gateway may change."""


class ModelSource(Protocol):
    """One Ollama that can be asked."""

    base_url: str
    clock_ahead_s: float
    """How far its clock is ahead of ours."""

    async def lookup(self, path: str, *, content: bytes | None = None, model: str = "") -> bytes:
        """The body of the answer to a GET, or with `content` to a POST. Raises an LLMError."""


class ModelCatalog:
    """The models of one server. Belongs to one event loop."""

    def __init__(self, server: ModelSource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.base_url = server.base_url
        self._server = server
        self._clock = clock
        self._looked_at: float | None = None
        self._installed: set[str] | None = None
        self._loaded: dict[str, Loaded] = {}
        self._details: RecentlyUsed[tuple[float, ModelDetails]] = RecentlyUsed()
        self._weights: RecentlyUsed[str] = RecentlyUsed()
        self._unlisted_until: RecentlyUsed[float] = RecentlyUsed()
        self._is_cloud = is_cloud_address(server.base_url)
        self.look_ups = SharedTasks()

    def is_installed(self, model: str) -> bool | None:
        """Whether the server has `model`; None where it is not known what it has."""
        return None if self._installed is None else full_name(model) in self._installed

    def is_loaded(self, model: str) -> bool:
        """Whether the server has `model` in memory, as far as is known."""
        return find_loaded(model, self._loaded.values(), self._weights) is not None

    @property
    def in_memory(self) -> tuple[str, ...]:
        """The models that are in memory, as far as is known."""
        return tuple(sorted(self._loaded))

    def is_elsewhere(self, model: str) -> bool:
        """Whether another server answers for `model`, as far as is known: nothing is loaded."""
        found = self._details.of(model)
        is_remote = found is not None and found[1].is_remote
        is_unlisted = self._clock() < (self._unlisted_until.of(model) or 0.0)
        return self._is_cloud or is_cloud(model) or is_remote or is_unlisted

    def has_details(self, model: str) -> bool:
        """Whether `details` would be answered without a look-up."""
        found = self._details.of(model)
        return found is not None and self._clock() < found[0] + DETAILS_AGE_S

    async def details(self, model: str) -> ModelDetails:
        """What `model` is and can do, at most a minute old. Raises an LLMError.

        A failure is not remembered. A caller that is cancelled disturbs no other one.
        """
        found = self._details.of(model)
        if found is not None and self.has_details(model):
            return found[1]
        name = f"/api/show {full_name(model)}"
        return await result_of(self.look_ups.once(name, lambda: self._look_at_details(model)))

    async def loaded(self) -> tuple[Loaded, ...]:
        """What is in memory now. Raises an LLMError."""
        return await result_of(self.look_ups.once(LOADED, self._look_at_loaded))

    async def loaded_for(self, model: str) -> Loaded | None:
        """What is in memory now for `model`: itself, or a model of the same weights.

        Raises an LLMError where the server does not say what it has loaded.
        """
        loaded = await self.loaded()
        if loaded and find_loaded(model, loaded, {}) is None:
            await self._learn_weights([model, *(one.name for one in loaded)])
        return find_loaded(model, loaded, self._weights)

    async def is_at_work(self, model: str, has_begun: bool) -> bool:
        """Whether somebody works on a silent call, as far as is known. Takes a second at most.

        The server answers and lists the model, or the reply has not begun and the model may be
        loading: that is listed by v0.13 only.
        """
        if self.is_elsewhere(model):
            return False
        try:
            async with asyncio.timeout(LOOK_S):
                return await self.loaded_for(model) is not None or not has_begun
        except (LLMError, TimeoutError):
            return False

    def seconds_left(self, loaded: Loaded) -> float | None:
        """How much longer the server keeps it if nobody uses it; None where it does not say."""
        if loaded.expires_s is None:
            return None
        return loaded.expires_s - time.time() - self._server.clock_ahead_s

    def renew(self) -> "asyncio.Task[None] | None":
        """Look up what is installed and loaded, in the background, if it is time.

        The look-up is returned only where nothing is known yet: that one is worth waiting for.
        """
        is_first = self._looked_at is None
        if self._looked_at is not None and self._clock() - self._looked_at <= MODELS_AGE_S:
            return None
        look = self.look_ups.once("all", self._look_at_all)
        return look if is_first else None

    def note_loaded(self, model: str) -> None:
        """The server has just answered with the model."""
        # Until the next answer of /api/ps: the choice of servers must not wait ten seconds for it.
        name = full_name(model)
        if not self.is_loaded(model) and not self.is_elsewhere(model):
            self._loaded[name] = Loaded(name, 0)
        if self._installed is not None:
            self._installed.add(name)

    def note_unloaded(self, model: str) -> None:
        """The model is about to be unloaded."""
        loaded = find_loaded(model, self._loaded.values(), self._weights)
        if loaded is not None:
            del self._loaded[full_name(loaded.name)]

    def note_missing(self, model: str) -> None:
        """The server has just said that it does not have the model."""
        self.note_unloaded(model)
        if self._installed is not None:
            self._installed.discard(full_name(model))

    def note_unlisted(self, model: str) -> None:
        """The server has just loaded the model, twice, and does not list it as loaded."""
        self._unlisted_until[model] = self._clock() + UNLISTED_S

    async def aclose(self) -> None:
        """Stop all look-ups. Safe to repeat."""
        await self.look_ups.aclose()

    async def _look_at_loaded(self) -> tuple[Loaded, ...]:
        loaded = read_loaded(await self._server.lookup(LOADED), base_url=self.base_url)
        self._loaded = {full_name(one.name): one for one in loaded}
        return loaded

    async def _learn_weights(self, models: Iterable[str]) -> None:
        """Have the weights of these models known, of those whose weights are not."""
        names = {full_name(model) for model in models} - self._weights.keys()
        looks = [asyncio.create_task(self.details(name)) for name in sorted(names)]
        if looks:
            await asyncio.wait(looks)
        for look in looks:
            # Without an answer the names alone decide.
            with suppress(LLMError):
                look.result()

    async def _look_at_details(self, model: str) -> ModelDetails:
        content = orjson.dumps({"model": model})
        body = await self._server.lookup("/api/show", content=content, model=model)
        details = read_details(body)
        self._details[model] = self._clock(), details
        # Beyond the age of the details: what shares them hardly ever changes.
        self._weights[model] = details.weights or ""
        return details

    async def _list_installed(self) -> set[str]:
        tags = await self._server.lookup("/api/tags")
        await self.loaded()
        return set(map(full_name, read_models(tags, base_url=self.base_url)))

    async def _look_at_all(self) -> None:
        try:
            self._installed = await self._list_installed()
        except LLMError as exc:
            # Once for each outage: an answer came before, or this was the first look.
            if self._installed is not None or self._looked_at is None:
                logger.warning(
                    "cannot list the models of %s (%s); other servers are preferred, and it "
                    "is asked again in %d s: check that it runs",
                    self.base_url,
                    exc,
                    MODELS_AGE_S,
                )
            # Unknown and not empty: such a server comes after those that are known to have the
            # model, but before one that is known to lack it.
            self._installed, self._loaded = None, {}
        finally:
            # After a failure too: a server that is down is not asked with every call.
            self._looked_at = self._clock()

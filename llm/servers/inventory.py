"""What one server has installed and loaded, looked up now and then, never in the way of a call."""

import asyncio
import logging
import time
from collections.abc import Callable

from llm.errors import LLMError
from llm.http.client import OllamaClient
from llm.servers.choice import Readiness
from llm.wire.models import Loaded, full_name, read_loaded, read_models

logger = logging.getLogger(__name__)

MAX_AGE_S = 10.0
"""An answer older than this is renewed, in the background, when somebody asks for it."""


class ModelInventory:
    """The models of one server. Belongs to one event loop."""

    def __init__(
        self,
        client: OllamaClient,
        *,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._max_age_s = max_age_s
        self._clock = clock
        self._looked_at: float | None = None
        self._looking: asyncio.Task[None] | None = None
        self._installed: set[str] | None = None
        self._loaded: dict[str, Loaded] = {}

    def readiness(self, model: str) -> Readiness:
        """How soon the server could answer with `model`, as far as is known."""
        name = full_name(model)
        if self._installed is None:
            return Readiness.UNKNOWN
        if name in self._loaded:
            return Readiness.WARM
        return Readiness.COLD if name in self._installed else Readiness.ABSENT

    def note_warm(self, model: str) -> None:
        """The server has just answered with the model."""
        name = full_name(model)
        if name not in self._loaded:
            self._loaded[name] = Loaded(name, 0)
        if self._installed is not None:
            self._installed.add(name)

    def note_cold(self, model: str) -> None:
        """The model is about to be unloaded."""
        self._loaded.pop(full_name(model), None)

    def note_absent(self, model: str) -> None:
        """The server has just said that it does not have the model."""
        self.note_cold(model)
        if self._installed is not None:
            self._installed.discard(full_name(model))

    def freshen(self) -> "asyncio.Task[None] | None":
        """Look anew if it is time, at most once at a time.

        The look under way is given only where nothing is known yet: that one is worth waiting for.
        """
        is_first = self._looked_at is None
        if self._looking is None and (is_first or self._age_s() > self._max_age_s):
            self._looking = asyncio.create_task(self.look())
            self._looking.add_done_callback(self._done)
        return self._looking if is_first else None

    async def look(self) -> None:
        """Ask the server; one that does not answer in time has nothing that is known."""
        try:
            installed = await self._client.lookup("/api/tags")
            loaded = await self._client.lookup("/api/ps")
            base_url = self._client.base_url
            self._installed = set(read_models(installed, base_url=base_url))
            self._loaded = {one.name: one for one in read_loaded(loaded, base_url=base_url)}
        except LLMError as exc:
            if self._installed is not None or self._looked_at is None:
                logger.warning("nothing is known of a server's models: %s", exc)
            self._installed, self._loaded = None, {}
        finally:
            self._looked_at = self._clock()

    async def aclose(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    def _age_s(self) -> float:
        return self._clock() - (self._looked_at or 0.0)

    def _done(self, _: "asyncio.Task[None]") -> None:
        self._looking = None

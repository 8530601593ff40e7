"""Loading a model before the chat of an ordinary thread: `llm.servers.warmup` without a loop.

A load that a chat begins is aborted when the chat is given up, and the next one begins from zero
(ollama#8006). So the load is a request of its own, with a limit of its own.
"""

import time
from collections.abc import Callable

from llm.errors import LLMError
from llm.servers.stays import TRUSTED_S, keep_alive_of, load_request
from llm.wire.address import is_cloud_address
from llm.wire.models import Loaded, RecentlyUsed, is_cloud, is_same
from llm.wire.requests import ChatRequest


class BlockingWarmth:
    """The models of the server at `base_url`, as far as this process uses them.

    `look_up` asks which are loaded (an LLMError where that fails), `load` sends a request that
    loads one. Threads that come at the same time each ask: of equal loads Ollama does one.
    """

    def __init__(
        self,
        base_url: str,
        look_up: Callable[[], tuple[Loaded, ...]],
        load: Callable[[ChatRequest], object],
    ) -> None:
        self._is_cloud = is_cloud_address(base_url)
        self._look_up = look_up
        self._load = load
        self._seen_at: RecentlyUsed[float] = RecentlyUsed()

    def ensure(self, request: ChatRequest) -> None:
        """Return once the model of a chat is loaded. Raises the LLMError of the load."""
        model, now = request.model, time.monotonic()
        # With a keep_alive of 0 the request that loads a model would unload it.
        needs_load = request.expects_answer and keep_alive_of(request) != 0
        if not needs_load or self._is_cloud or is_cloud(model):
            return
        seen_at = self._seen_at.of(model)
        if seen_at is not None and now < seen_at + TRUSTED_S:
            return
        try:
            is_loaded = any(is_same(one.name, model) for one in self._look_up())
        except LLMError:
            return  # the chat will say what is wrong
        if not is_loaded:
            self._load(load_request(request))
        self.note_seen(model)

    def note_seen(self, model: str) -> None:
        """The model has just answered."""
        self._seen_at[model] = time.monotonic()

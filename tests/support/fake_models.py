"""A model server from tables: what it lists, how long it keeps it, and what it was sent."""

import time
from collections.abc import Mapping

import orjson

from llm import ChatRequest, Final, ModelCatalog, ModelNotFoundError, ModelReply, OllamaClient
from llm.wire.models import full_name
from llm.wire.timeouts import Timeouts


class FakeOllama(OllamaClient):
    """No connection is made. `left_s` has the loaded models, and how long they stay."""

    def __init__(self, base_url: str = "http://fake:1") -> None:
        super().__init__(base_url)
        self.installed: list[str] = []
        self.left_s: dict[str, float] = {}
        self.window_tokens = 4096
        self.shown: dict[str, Mapping[str, object]] = {}
        self.asked: list[str] = []
        self.sent: list[ChatRequest] = []
        self.lists_what_it_loads = True
        self.keep_alive_s = 300.0
        self.catalog = ModelCatalog(self)

    async def lookup(
        self, path: str, *, timeout_s: float = 3.0, content: bytes | None = None, model: str = ""
    ) -> bytes:
        """From the tables."""
        self.asked.append(path if content is None else f"{path} {model}")
        if path == "/api/tags":
            return orjson.dumps({"models": [{"name": name} for name in self.installed]})
        if path == "/api/ps":
            return orjson.dumps({"models": [self._entry(name) for name in self.left_s]})
        if full_name(model) not in self.shown:
            raise ModelNotFoundError(f"model '{model}' not found")
        return orjson.dumps(self.shown[full_name(model)])

    async def chat(self, request: ChatRequest, *, timeouts: Timeouts | None = None) -> ModelReply:
        """Load the model, or drop it."""
        self.sent.append(request)
        if request.keep_alive == 0:
            self.left_s.pop(full_name(request.model), None)
        elif self.lists_what_it_loads:
            self.left_s[full_name(request.model)] = self.keep_alive_s
        return ModelReply("", Final(done_reason="load"))

    def _entry(self, name: str) -> Mapping[str, object]:
        at = time.time() + self.clock_ahead_s + self.left_s[name]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f"{at % 1:.9f}Z"[1:]
        return {"name": name, "context_length": self.window_tokens, "expires_at": stamp}

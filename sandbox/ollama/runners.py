"""The models in memory: loading, keeping, unloading, and their slots (docs/ollama.md, Loading)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sandbox.ollama import gojson, options
from sandbox.ollama.bodies import ModelRequest
from sandbox.ollama.call_log import CallLog
from sandbox.ollama.scenarios import Scenario

DEFAULT_KEEP_ALIVE_S = 300.0
DEFAULT_WINDOW_TOKENS = 32_768
"""What a healthy model states as its context length unless the request sets num_ctx."""


@dataclass(slots=True)
class Runner:
    """One model in memory. `slots` is None where any number of replies may run at once."""

    load_options: str
    window_tokens: int
    slots: asyncio.Semaphore | None
    keep_alive_s: float = DEFAULT_KEEP_ALIVE_S
    expires_s: float = field(default_factory=time.monotonic)
    users: int = 0

    def is_loaded(self) -> bool:
        """Whether a reply is under way or the time to stay loaded runs."""
        return self.users > 0 or self.expires_s > time.monotonic()

    def keep(self, keep_alive_s: float | None) -> None:
        """Start the time to stay loaded anew; None leaves its length as it is."""
        if keep_alive_s is not None:
            self.keep_alive_s = keep_alive_s
        self.expires_s = time.monotonic() + self.keep_alive_s


class Runners:
    """Every loaded model by name. Lives on the server's loop."""

    def __init__(self, call_log: CallLog) -> None:
        self._call_log = call_log
        self._loaded: dict[str, Runner] = {}
        self._loading: dict[str, asyncio.Lock] = {}

    def loaded(self) -> dict[str, Runner]:
        """The models in memory, longest expiry first."""
        self._loaded = {
            model: runner for model, runner in self._loaded.items() if runner.is_loaded()
        }
        return dict(sorted(self._loaded.items(), key=lambda item: -item[1].expires_s))

    @asynccontextmanager
    async def using(self, asked: ModelRequest, scenario: Scenario) -> AsyncIterator[Runner]:
        """The runner of the model, loaded if need be and kept at least as long as it is used.

        At the end its time to stay loaded starts anew; a keep_alive of 0 unloads it.
        """
        runner = await self._ready(asked, scenario)
        runner.users += 1
        try:
            yield runner
        finally:
            runner.users -= 1
            runner.keep(asked.keep_alive_s)
            if asked.keep_alive_s == 0 and self._loaded.get(asked.model) is runner:
                self.unload(asked.model)

    async def _ready(self, asked: ModelRequest, scenario: Scenario) -> Runner:
        """The runner that fits the request.

        Loads of one model come one after another. A load whose request is cancelled is lost; the
        next one starts from zero (docs/ollama.md, Loading).
        """
        wanted = _load_options(asked)
        if (runner := self._fitting(asked.model, wanted)) is None:
            async with self._loading.setdefault(asked.model, asyncio.Lock()):
                runner = self._fitting(asked.model, wanted)
                if runner is None:
                    await asyncio.sleep(scenario.load_s)
                    runner = self._load(asked, scenario, wanted)
        return runner

    def unload(self, model: str) -> None:
        """Forget the model, and with it its slots, leaked ones included."""
        self._loaded.pop(model, None)

    def clear(self) -> None:
        """Forget all models, as a restart does."""
        self._loaded.clear()
        self._loading.clear()

    def _fitting(self, model: str, wanted: str) -> Runner | None:
        runner = self._loaded.get(model)
        if runner is None or not runner.is_loaded():
            return None
        return runner if runner.load_options == wanted else None

    def _load(self, asked: ModelRequest, scenario: Scenario, wanted: str) -> Runner:
        window_tokens = (
            options.integer(asked.options, "num_ctx")
            or scenario.window_tokens
            or DEFAULT_WINDOW_TOKENS
        )
        slots = asyncio.Semaphore(scenario.slots) if scenario.slots else None
        self._call_log.count("loads")
        runner = self._loaded[asked.model] = Runner(wanted, window_tokens, slots)
        return runner


@asynccontextmanager
async def slot(runner: Runner, *, leaks: bool) -> AsyncIterator[None]:
    """Hold one slot of the runner, first come first served; `leaks` keeps it when cancelled."""
    if runner.slots is None:
        yield
        return
    await runner.slots.acquire()
    is_kept = False
    try:
        yield
    except (asyncio.CancelledError, ConnectionError):
        is_kept = leaks
        raise
    finally:
        if not is_kept:
            runner.slots.release()


def _load_options(asked: ModelRequest) -> str:
    chosen: gojson.JsonObject = {
        name: asked.options[name] for name in options.LOAD_TIME if name in asked.options
    }
    return gojson.encode({**chosen, "shift": asked.shift})

"""The models in memory: queue, loads, evictions, unloads, and slots (docs/ollama.md, Loading).

Models are told apart by their weights, whatever names they go by. Everything that a loaded model
does not fit goes through one queue: one load at a time, first come first served.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sandbox.ollama import gotime, refusals
from sandbox.ollama.call_log import CallLog
from sandbox.ollama.request.options import LoadOptions

DEFAULT_KEEP_ALIVE_S = 300.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operator sets of a server; the defaults are Ollama's own."""

    num_parallel: int = 1
    """Replies of one model at once (OLLAMA_NUM_PARALLEL)."""
    max_loaded_models: int = 3
    max_queue: int = 512


@dataclass(frozen=True, slots=True)
class Wanted:
    """The model that a request needs."""

    name: str
    weights: str
    """The same for all names of one file."""
    options: LoadOptions
    load_s: float = 0.0
    slots: int | None = None
    """None: as many as the server has for a model."""
    keep_alive_s: float | None = None
    load_refusal: refusals.Refusal | None = None
    """Why the load fails, if it does."""


@dataclass(slots=True, eq=False)
class Runner:
    """One model in memory."""

    name: str
    """The name that loaded it."""
    weights: str
    options: LoadOptions
    slots: asyncio.Semaphore
    keep_alive_s: float = DEFAULT_KEEP_ALIVE_S
    expires_s: float = 0.0
    users: int = 0
    timer: asyncio.TimerHandle | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def taken(self, keep_alive_s: float | None) -> "Runner":
        """One more request uses it; a keep_alive of the request replaces the one before."""
        self.users += 1
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if keep_alive_s is not None:
            self.keep_alive_s = keep_alive_s
        return self


class Runners:
    """Every loaded model by its weights. Lives on the server's loop."""

    def __init__(self, call_log: CallLog, limits: Limits) -> None:
        self._call_log = call_log
        self._limits = limits
        self._loaded: dict[str, Runner] = {}
        self._turn = asyncio.Lock()
        self._pending = 0

    def loaded(self) -> list[Runner]:
        """The models in memory, longest expiry first."""
        return sorted(self._loaded.values(), key=lambda runner: -runner.expires_s)

    @asynccontextmanager
    async def using(self, wanted: Wanted) -> AsyncIterator[Runner]:
        """The runner of the model, loaded if need be and kept at least as long as it is used.

        When its last user ends, its time to stay loaded starts anew. Raises Refused if the queue
        is full or the load fails. A load whose request is cancelled is lost.
        """
        runner = await self._ready(wanted)
        try:
            yield runner
        finally:
            runner.users -= 1
            if runner.users == 0:
                self._keep(runner)

    def unload(self, weights: str) -> None:
        """Let the model go once nobody uses it; a keep_alive that comes before then keeps it."""
        if (runner := self._loaded.get(weights)) is None:
            return
        runner.keep_alive_s, runner.expires_s = 0.0, time.monotonic()
        if runner.users == 0:
            self._drop(runner)

    def unload_all(self) -> None:
        """Memory ran out in mid-reply: every model is let go."""
        for weights in list(self._loaded):
            self.unload(weights)

    def clear(self) -> None:
        """Forget all models at once, as a restart does."""
        for runner in list(self._loaded.values()):
            self._drop(runner)
        self._turn, self._pending = asyncio.Lock(), 0  # the next start has a loop of its own

    async def _ready(self, wanted: Wanted) -> Runner:
        if (runner := self._fitting(wanted)) is not None:
            return runner.taken(wanted.keep_alive_s)
        if self._pending > self._limits.max_queue:
            raise refusals.busy()
        self._pending += 1
        try:
            async with self._turn:
                return await self._scheduled(wanted)
        finally:
            self._pending -= 1

    def _fitting(self, wanted: Wanted) -> Runner | None:
        """A loaded model that the request can use as it is; none for one whose load is to fail."""
        runner = self._loaded.get(wanted.weights)
        if runner is None or runner.options.must_reload_for(wanted.options):
            return None
        return runner if wanted.load_refusal is None else None

    async def _scheduled(self, wanted: Wanted) -> Runner:
        while True:
            if (runner := self._fitting(wanted)) is not None:
                return runner.taken(wanted.keep_alive_s)
            leaving = self._loaded.get(wanted.weights)
            is_full = len(self._loaded) >= self._limits.max_loaded_models
            if wanted.load_refusal is not None or (leaving is None and not is_full):
                return await self._load(wanted)
            leaving = leaving or self._to_evict()
            self.unload(leaving.weights)
            await leaving.ended.wait()

    async def _load(self, wanted: Wanted) -> Runner:
        await asyncio.sleep(wanted.load_s)
        if wanted.load_refusal is not None:
            raise wanted.load_refusal.refused()
        self._call_log.count("loads")
        slots = asyncio.Semaphore(wanted.slots or self._limits.num_parallel)
        runner = Runner(wanted.name, wanted.weights, wanted.options, slots).taken(
            wanted.keep_alive_s
        )
        runner.expires_s = time.monotonic() + runner.keep_alive_s
        self._loaded[wanted.weights] = runner
        return runner

    def _to_evict(self) -> Runner:
        """Of the idle ones, else of all, the one with the shortest keep_alive."""
        idle = [runner for runner in self._loaded.values() if runner.users == 0]
        return min(idle or self._loaded.values(), key=lambda one: (one.keep_alive_s, one.weights))

    def _keep(self, runner: Runner) -> None:
        if self._loaded.get(runner.weights) is not runner:
            return
        if runner.keep_alive_s == 0:
            self._drop(runner)
            return
        runner.expires_s = time.monotonic() + runner.keep_alive_s
        if runner.keep_alive_s < gotime.FOR_EVER_S:
            loop = asyncio.get_running_loop()
            runner.timer = loop.call_later(runner.keep_alive_s, self._drop, runner)

    def _drop(self, runner: Runner) -> None:
        """Take it out of memory, and with it its slots, leaked ones included."""
        if runner.timer is not None:
            runner.timer.cancel()
        if self._loaded.get(runner.weights) is runner:
            del self._loaded[runner.weights]
        runner.ended.set()


@asynccontextmanager
async def slot(runner: Runner, *, leaks: bool) -> AsyncIterator[None]:
    """Hold one slot of the runner, first come first served; `leaks` keeps it when cancelled."""
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

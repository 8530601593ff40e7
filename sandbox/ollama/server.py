"""The stand-in as a server: in the running loop (`serving`) or in a thread (`OllamaStandIn`)."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Self, cast

from aiohttp import web

from sandbox.context import Starting
from sandbox.listening import close_server
from sandbox.ollama.app import make_app
from sandbox.ollama.call_log import CallLog, RecordedCall, Stats
from sandbox.ollama.errors import NotServing
from sandbox.ollama.reply.records import Profile
from sandbox.ollama.runners import Limits
from sandbox.ollama.scenarios import Scenario
from sandbox.ollama.script import ANY_MODEL
from sandbox.ollama.state import StandInState

START_TIMEOUT_S = 10.0
_BACKLOG = 4096
_CLEANUP_S = 1.0


@asynccontextmanager
async def serving(state: StandInState, host: str, port: int) -> AsyncIterator[int]:
    """Listen on `host:port` within the block; gives the port, chosen by the system if `port` is 0.

    The end is as abrupt as Ollama's: every connection is cut where it is (docs/ollama.md,
    Transport).
    Raises OSError if the address cannot be had.
    """
    runner = web.AppRunner(
        make_app(state),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=3600.0,
        shutdown_timeout=_CLEANUP_S,
    )
    await runner.setup()
    connections = cast(web.Server, runner.server)  # it has one after `setup`
    try:
        listener = await asyncio.get_running_loop().create_server(
            connections, host, port, backlog=_BACKLOG
        )
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            await close_server(listener)
            state.call_log.end_all()
            _cut_all(connections)
    finally:
        await runner.cleanup()
        state.runners.clear()


def _cut_all(server: web.Server) -> None:
    for connection in server.connections:
        if connection.transport is not None:
            connection.transport.abort()


class OllamaStandIn(Starting):
    """A stand-in for Ollama in a thread of its own, on loopback.

    `with OllamaStandIn() as ollama: ... ollama.url ...`. It can be stopped and started again;
    calls, counters and port stay. `stats`, `calls`, `script` and `reset` are safe from any thread.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        profile: Profile = "0.33",
        token_s: float = 0.0,
        keep_calls: int = 10_000,
        models: Sequence[str] = (),
        num_parallel: int = 1,
        max_loaded_models: int = 3,
        max_queue: int = 512,
        no_cloud: bool = False,
    ) -> None:
        """`models` are listed by /api/tags, too; `token_s` paces models that are no scenario's.

        `num_parallel`, `max_loaded_models`, `max_queue` and `no_cloud` are what an operator sets
        with OLLAMA_NUM_PARALLEL and so on.
        """
        limits = Limits(num_parallel, max_loaded_models, max_queue)
        self._host, self._port = host, port
        self._state = StandInState(
            CallLog(keep_calls), profile=profile, token_s=token_s, limits=limits, no_cloud=no_cloud
        )
        self._state.install(models)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> Self:
        """Listen. Returns once requests are answered. Raises NotServing."""
        ready: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="ollama-stand-in", daemon=True
        )
        self._thread.start()
        try:
            self._port = ready.result(START_TIMEOUT_S)
        except (OSError, TimeoutError) as exc:
            self._thread = None
            raise NotServing(f"cannot listen on {self._host}:{self._port}: {exc}") from exc
        return self

    def close(self) -> None:
        """As `stop`."""
        self.stop()

    def stop(self) -> None:
        """Cut every connection and stop. Safe to repeat."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(START_TIMEOUT_S)

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://{self._host}:{self._port}"

    @property
    def stats(self) -> Stats:
        """The counters now."""
        return self._state.call_log.stats

    @property
    def calls(self) -> list[RecordedCall]:
        """The calls since the last reset, oldest first."""
        return self._state.call_log.calls

    def script(self, model: str, scenarios: Sequence[str]) -> None:
        """Let the next calls of `model` ("*": of any) play `scenarios`. Raises UnknownScenario."""
        self._state.script.add(model, scenarios)

    def script_next(self, scenario: Scenario) -> None:
        """Let the next call that nothing is scripted for, of any model, play `scenario`."""
        self._state.script.add_scenarios(ANY_MODEL, [scenario])

    @property
    def scripted(self) -> int:
        """How many scripted scenarios no call has taken yet."""
        return self._state.script.waiting

    def reset(self) -> None:
        """Forget calls, counters and scripts; models stay loaded."""
        self._state.reset()

    async def _serve(self, ready: "Future[int]") -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with serving(self._state, self._host, self._port) as port:
                ready.set_result(port)
                await self._stop.wait()
        except OSError as exc:
            if ready.done():
                raise
            ready.set_exception(exc)

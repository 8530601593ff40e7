"""A TCP proxy that can be slow, cut its connections, refuse new ones, or swallow everything."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from enum import Enum
from typing import Self, TypeVar

from sandbox.context import Starting
from sandbox.listening import close_server
from sandbox.ports import free_port

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
ANSWER_TIMEOUT_S = 5.0

T = TypeVar("T")
_Queue = asyncio.Queue[tuple[float, bytes]]


class Traffic(Enum):
    """What the proxy does with connections."""

    FORWARD = "forward"
    REFUSE = "refuse"
    BLACK_HOLE = "black hole"


class Proxy(Starting):
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target_port`, on an event loop in its own thread.

    Its methods and attributes may be used from any thread. `latency_s` delays every byte in each
    direction (so twice that per round trip) without limiting how much is under way, and may be
    changed at any time.
    """

    def __init__(self, target_port: int, *, port: int | None = None, latency_s: float = 0) -> None:
        self.target_port = target_port
        self.port = port if port is not None else free_port()
        self.latency_s = latency_s
        self.round_trips = 0
        """Requests that followed an answer, or came first, over all connections: round trips."""
        self._traffic = Traffic.FORWARD
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    def start(self) -> Self:
        """Listen. OSError if the port is taken."""
        self._thread.start()
        try:
            self._run(self._listen())
        except BaseException:
            self.close()
            raise
        return self

    def forward(self) -> None:
        """Go back to forwarding; connections that were swallowed stay so, new ones work."""
        self._traffic = Traffic.FORWARD
        self._run(self._listen())

    def refuse(self) -> None:
        """Stop listening (ECONNREFUSED for new connections) and cut the open ones."""
        self._traffic = Traffic.REFUSE
        self._run(self._stop_listening())
        self.drop_connections()

    def black_hole(self) -> None:
        """Accept what comes and forward nothing, in open connections too."""
        self._traffic = Traffic.BLACK_HOLE
        self._run(self._listen())

    def drop_connections(self) -> int:
        """Reset every open connection. How many there were."""
        return self._run(self._drop())

    def close(self) -> None:
        """Stop listening, cut everything, end the thread. Safe to repeat."""
        if self._loop.is_closed():
            return
        self._run(self._stop_listening())
        self._run(self._drop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_TIMEOUT_S)
        self._loop.close()

    def _run(self, work: Coroutine[object, object, T]) -> T:
        done: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(ANSWER_TIMEOUT_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def _stop_listening(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await close_server(server)

    async def _drop(self) -> int:
        dropped = list(self._connections.items())
        for task, client in dropped:
            client.transport.abort()
            task.cancel()
        await asyncio.gather(*(task for task, _ in dropped), return_exceptions=True)
        return len(dropped)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._carry(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except OSError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._traffic is Traffic.BLACK_HOLE:
            while await reader.read(CHUNK_BYTES):
                pass
            return
        upstream_reader, upstream_writer = await asyncio.open_connection(HOST, self.target_port)
        trips = _RoundTrips(self)
        pumps = {
            asyncio.create_task(self._pump(reader, upstream_writer, trips.asked)),
            asyncio.create_task(self._pump(upstream_reader, writer, trips.answered)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            upstream_writer.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, passed: Callable[[], None]
    ) -> None:
        under_way: _Queue = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(under_way, sink))
        try:
            while chunk := await source.read(CHUNK_BYTES):
                passed()
                under_way.put_nowait((self._loop.time() + self.latency_s, chunk))
            under_way.put_nowait((self._loop.time() + self.latency_s, b""))
            await delivery
        finally:
            delivery.cancel()

    async def _deliver(self, under_way: _Queue, sink: asyncio.StreamWriter) -> None:
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(due - self._loop.time())
            if self._traffic is not Traffic.BLACK_HOLE:
                await _write(sink, chunk)
            if not chunk:
                return


class _RoundTrips:
    """Counts the round trips of one connection: what is sent before an answer comes is one."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._is_waiting = False

    def asked(self) -> None:
        if not self._is_waiting:
            self._proxy.round_trips += 1
        self._is_waiting = True

    def answered(self) -> None:
        self._is_waiting = False


async def _write(sink: asyncio.StreamWriter, chunk: bytes) -> None:
    if not chunk:
        sink.write_eof()
        return
    sink.write(chunk)
    await sink.drain()

"""What the producer's process sends to web servers: requests as fast as they are answered, and many
streams at once. Sockets alone, for a real client would need more of the machine than the server."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import cast

import orjson

PATH = "/v1/responses"
DELTA = b"event: response.output_text.delta\n"
END = b"event: response.completed\n"
WRONG_ENDS = (b"event: response.failed\n", b"event: response.incomplete\n", b"event: error\n")
HEAD_END = b"\r\n\r\n"


class _Caller(asyncio.Protocol):
    """Sends the same request over one connection, each time that the last one is answered."""

    def __init__(self, request: bytes, left: list[int], took_s: list[float]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._left = left
        self._took_s = took_s
        self._heard = b""
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer; of whole ones the length is said."""
        self._heard += data
        head, end, body = self._heard.partition(HEAD_END)
        if not end or len(body) < _length(head):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.over.set_exception(RuntimeError(self._heard.decode(errors="replace")))
            return
        self._took_s.append(time.monotonic() - self._sent_s)
        self._heard = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that breaks off is none; it would be waited for without end."""
        if not self.over.done():
            self.over.set_exception(ConnectionError(f"an answer broke off: {exc}"))

    def _send(self) -> None:
        if self._left[0] <= 0:
            self._transport.close()
            if not self.over.done():
                self.over.set_result(None)
            return
        self._left[0] -= 1
        self._sent_s = time.monotonic()
        self._transport.write(self._request)


class _Listener(asyncio.Protocol):
    """Reads a stream to its end: when each delta came, Unix time in seconds."""

    def __init__(self, request: bytes) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.deltas_s: list[float] = []
        self._request = request
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count what has come."""
        now_s = time.time()
        if data.startswith(b"HTTP/1.1") and b" 200 " not in data[:16]:
            self.over.set_exception(RuntimeError(data.decode(errors="replace")))
            return
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        for event in whole:
            if DELTA in event:
                self.deltas_s.append(now_s)
            elif self.over.done():
                continue
            elif END in event:
                self.over.set_result(None)
            elif any(end in event for end in WRONG_ENDS):
                self.over.set_exception(RuntimeError(event.decode(errors="replace")))

    def connection_lost(self, exc: Exception | None) -> None:
        """A stream that breaks off is no measurement; it would be waited for without end."""
        if not self.over.done():
            self.over.set_exception(ConnectionError(f"a stream broke off: {exc}"))


def post_all(
    ports: Sequence[int], body: Mapping[str, object], amount: int, connections: int
) -> tuple[float, list[float]]:
    """Send a request so many times over some connections, which the ports share.

    Seconds from the first to the last answer, and how long each took.
    """

    async def run() -> tuple[float, list[float]]:
        left, took_s = [amount], list[float]()
        loop, packed = asyncio.get_running_loop(), orjson.dumps(body)
        began_s = time.monotonic()
        made = [
            await loop.create_connection(
                lambda port=port: _Caller(_request("POST", PATH, port, packed), left, took_s),  # type: ignore[misc]  # mypy knows no default of a lambda
                "127.0.0.1",
                port,
            )
            for port, _ in zip(cycle(ports), range(connections))
        ]
        await asyncio.gather(*(caller.over for _, caller in made))
        return time.monotonic() - began_s, took_s

    return asyncio.run(run())


def listen_all(port: int, sessions: Sequence[str], body: Mapping[str, object]) -> list[list[float]]:
    """Begin a stream in each conversation, all at once, and read them to their ends: when each
    delta came, Unix time in seconds."""

    async def one(session: str) -> list[float]:
        loop = asyncio.get_running_loop()
        packed = orjson.dumps({**body, "stream": True, "conversation": session})
        request = _request("POST", PATH, port, packed)
        transport, listener = await loop.create_connection(
            lambda: _Listener(request), "127.0.0.1", port
        )
        try:
            await listener.over
        finally:
            transport.close()
        return listener.deltas_s

    async def run() -> list[list[float]]:
        return list(await asyncio.gather(*map(one, sessions)))

    return asyncio.run(run())


def _request(method: str, path: str, port: int, body: bytes) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0

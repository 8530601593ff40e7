"""Answers that take their time: streams of events, and waiting while the client is still there."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from telemetry.metrics import STREAMS_OPEN

T = TypeVar("T")
KEEP_ALIVE = b": keep-alive\n\n"
STREAM_HEADERS: Mapping[str, str] = {
    # Buffering would hold tokens back: the first is for proxies in general, the second for nginx.
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
OnHangup = Callable[[], Awaitable[None]]


class ClientLeft(Exception):
    """The client has closed its connection before it had its answer."""


def server_sent(data: Mapping[str, object], event: str | None = None) -> bytes:
    """One event, as the standard has it."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


class Json(Response):
    """An answer in JSON, packed by orjson."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Its bytes."""
        return orjson.dumps(content)


class EventStream(Response):
    """Sends pieces of a stream of events as they come; a client that leaves is noticed at once.

    One that does not take them has left when the server closes its connection
    (`gateway.server.PatientProtocol`). A server that stops cancels the stream, which does not.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        *,
        keep_alive_s: float,
        on_hangup: OnHangup | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(STREAM_HEADERS)
        self.raw_headers.append((b"content-type", b"text/event-stream; charset=utf-8"))
        self._pieces = pieces
        self._keep_alive_s = keep_alive_s
        self._on_hangup = on_hangup
        self._sent_s = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        try:
            with STREAMS_OPEN.raised():
                await while_there(receive, self._send_all(send))
        except ClientLeft:
            if self._on_hangup is not None:
                await self._on_hangup()

    async def _send_all(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        self._sent_s = asyncio.get_running_loop().time()
        # Beside the pieces: a task and a timer for each of them cost more than to send it.
        keeping = asyncio.create_task(self._keep_alive(send))
        try:
            async with aclosing(self._pieces) as pieces:
                async for piece in pieces:
                    await self._send(send, piece, more=True)
        finally:
            await _ended(keeping)
        await self._send(send, b"", more=False)

    async def _keep_alive(self, send: Send) -> None:
        """Send a comment for each such time in which nothing came."""
        loop = asyncio.get_running_loop()
        while True:
            wait_s = self._sent_s + self._keep_alive_s - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            else:
                await self._send(send, KEEP_ALIVE, more=True)

    async def _send(self, send: Send, piece: bytes, *, more: bool) -> None:
        await send({"type": "http.response.body", "body": piece, "more_body": more})
        self._sent_s = asyncio.get_running_loop().time()


async def while_there(receive: Receive, work: Coroutine[None, None, T]) -> T:
    """The result of `work`, which is cancelled where the client leaves: then ClientLeft.

    The request's body must have been read.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientLeft
    finally:
        await _ended(working)
        await _ended(leaving)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(task: "asyncio.Task[T]") -> None:
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

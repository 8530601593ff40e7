"""Lines as one HTTP response: headers with the first record, chunks as the scenario has them."""

import asyncio
import socket
import struct
from collections.abc import Callable

from aiohttp import web
from aiohttp.http import StreamWriter

from sandbox.ollama.scenarios import Framing

Rewrite = Callable[[bytes], bytes]
"""Turns whole lines of /api/* into what another API of the server sends in their place."""

NDJSON = {"Content-Type": "application/x-ndjson"}
EVENTS = {"Content-Type": "text/event-stream"}
_MERGED_LINES = 3
_LINGER_AND_RESET = struct.pack("ii", 1, 0)


class Wire:
    """The streamed response to one request. Never waits for the reader: the model sets the pace.

    Each line is one HTTP chunk unless the framing says otherwise. Chunks of one turn of the loop
    leave in one write. Methods may raise ConnectionError if the client has gone.
    With `rewrite` the stream is one of server-sent events.
    """

    def __init__(
        self, request: web.Request, framing: Framing, rewrite: Rewrite | None = None
    ) -> None:
        self._request = request
        self._framing = framing
        self._rewrite = rewrite
        # A Response, unlike a StreamResponse, sends its headers together with the first chunk.
        self._response = web.Response(headers=EVENTS if rewrite else NDJSON)
        self._response.enable_chunked_encoding()
        self._writer: StreamWriter | None = None
        self._held: list[bytes] = []
        self._due: list[bytes] = []

    @property
    def has_begun(self) -> bool:
        """Whether anything was sent or waits to be sent."""
        return self._writer is not None or bool(self._held)

    async def send(self, line: bytes) -> None:
        """One line, in the chunks that the framing wants."""
        if self._rewrite is not None:
            line = self._rewrite(line)
        if self._framing is Framing.LINE:
            await self._chunk(line)
        elif self._framing is Framing.BLANK:
            await self._chunk(line + b"\n")
        elif self._framing is Framing.SPLIT:
            await self._send_split(line)
        else:
            await self._hold(line)

    async def end(self, line: bytes = b"") -> web.Response:
        """The last line, if any, and the terminating chunk in one write."""
        if self._rewrite is not None:
            line = self._rewrite(line)
        writer = await self._prepared()
        self._flush()
        await writer.write_eof(self._take_held() + line)
        return self._response

    async def cut(self, *, reset: bool = False) -> web.Response:
        """Close the connection after what was sent, without the terminating chunk, or reset it."""
        if self._held:
            await self._chunk(self._take_held())
        self._flush()
        transport = self._request.transport
        if transport is not None and reset:
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AND_RESET)
            transport.abort()
        elif transport is not None:
            transport.close()
        return self._response

    async def _hold(self, line: bytes) -> None:
        self._held.append(line)
        if self._framing is Framing.MERGED and len(self._held) >= _MERGED_LINES:
            await self._chunk(self._take_held())

    def _take_held(self) -> bytes:
        held = b"".join(self._held)
        self._held.clear()
        return held

    async def _send_split(self, line: bytes) -> None:
        """Split after the first byte of the first character that has more than one."""
        at = next((index for index, byte in enumerate(line) if byte >= 0x80), 0) + 1
        await self._chunk(line[:at])
        await asyncio.sleep(0.001)  # or the client reads both halves at once
        await self._chunk(line[at:])

    async def _chunk(self, data: bytes) -> None:
        if self._writer is None:
            writer = await self._prepared()
            await writer.write(data, drain=False)
            return
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush)
        # Framed here: aiohttp's writer costs a write and twice the time for each chunk.
        self._due.append(b"%x\r\n%b\r\n" % (len(data), data))

    def _flush(self) -> None:
        transport = self._request.transport
        if self._due and transport is not None and not transport.is_closing():
            transport.write(b"".join(self._due))
        self._due.clear()

    async def _prepared(self) -> StreamWriter:
        if self._writer is None:
            writer = await self._response.prepare(self._request)
            if not isinstance(writer, StreamWriter):
                raise ConnectionResetError("the response is over already")
            self._writer = writer
        return self._writer

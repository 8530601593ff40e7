"""The body of one asynchronous answer, read within its time limits."""

import asyncio
import math
from collections.abc import Sized
from contextlib import suppress

import aiohttp

from llm.errors import LLMError
from llm.http.connection import END_OF_REPLY_S
from llm.http.deadlines import StreamWatch
from llm.wire.error_map import MAX_ERROR_BODY_BYTES, TRANSPORT_ERRORS

MAX_CHUNK_BYTES = 16 * 1024
"""What is read at once: more would hold up the loop."""
MOST_RESTED_S = 0.04
RESTED_PER_CALL_S = 0.0004
SHARE_RESTED = 0.1
LEAST_RESTED_S = 0.005
"""How long a fast stream rests before it is looked at again: the longer the more calls are in
flight, but only for this share of the time that its answer has lasted. A stream is fast whose next
piece is there within half of that."""
GATHERED_BYTES = 4096
"""One that brought more at a look is a server that has it all already, and is read on."""


class Answer:
    """The bytes of an answer as they come; every wait is limited by its `watch`."""

    def __init__(self, response: aiohttp.ClientResponse, watch: StreamWatch, calls: Sized) -> None:
        """`calls` are those in flight, this one among them."""
        self._response = response
        self._content = response.content
        self._watch = watch
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._waited_s = math.inf

    async def gathered(self) -> bytes:
        """`read`, but what came meanwhile of a stream that comes faster than it need be looked at.

        Each look at a stream costs the loop more than the token that it brings.
        """
        ready_s = self._loop.time()
        share_s = SHARE_RESTED * (ready_s - self._began_s)
        rest_s = min(MOST_RESTED_S, RESTED_PER_CALL_S * len(self._calls), share_s)
        if rest_s >= LEAST_RESTED_S and self._waited_s < rest_s / 2:
            self._rest(rest_s)
            ready_s += rest_s
        chunk = await self.read()
        is_behind = len(chunk) >= GATHERED_BYTES
        self._waited_s = math.inf if is_behind else self._loop.time() - ready_s
        return chunk

    def _rest(self, seconds: float) -> None:
        """Leave what comes in the socket, where it costs nothing."""
        connection = self._response.connection
        # An answer that has ended has given its connection back, perhaps to another call.
        if connection is not None and (transport := connection.transport) is not None:
            transport.pause_reading()
            self._loop.call_later(seconds, transport.resume_reading)

    async def read(self) -> bytes:
        """What has come, or comes next; empty at the end. Raises LLMError, TRANSPORT_ERRORS."""
        with self._watch:
            chunk = await self._content.read(MAX_CHUNK_BYTES)
        self._watch.heard()
        return chunk

    async def beginning(self) -> bytes:
        """As much as an error's body may have. Raises as `read`."""
        body = b""
        while len(body) < MAX_ERROR_BODY_BYTES and (chunk := await self.read()):
            body += chunk
        return body

    async def read_to_end(self) -> None:
        """The answer is whole; what goes wrong from here on costs a connection, not the answer."""
        if self._content.at_eof():
            return
        self._watch.expect_end(END_OF_REPLY_S)
        with suppress(LLMError, *TRANSPORT_ERRORS):
            await self.beginning()

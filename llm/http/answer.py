"""The body of one asynchronous answer, read within its time limits."""

import asyncio
from contextlib import suppress

import aiohttp

from llm.errors import LLMError
from llm.http.connection import END_OF_REPLY_S
from llm.http.deadlines import StreamWatch
from llm.wire.error_map import MAX_ERROR_BODY_BYTES, TRANSPORT_ERRORS

MAX_CHUNK_BYTES = 16 * 1024
"""What is read at once: more would hold up the loop."""
FAST_S = 0.015
"""A stream is fast whose next piece is there within this time."""
MOST_GATHERED_S = 0.04
LEAST_GATHERED_S = 0.01
SHARE_GATHERED = 0.02
"""How long a fast stream is left alone between two looks at it: for this share of the time that it
has lasted, within the two bounds. So the end of a reply is late by less than a fiftieth."""
GATHERED_BYTES = 4096
"""One that brought more at a look is a server that has it all already, and is read on."""


class Answer:
    """The bytes of an answer as they come; every wait is limited by its `watch`."""

    def __init__(self, response: aiohttp.ClientResponse, watch: StreamWatch) -> None:
        self._response = response
        self._content = response.content
        self._watch = watch
        self._clock = asyncio.get_running_loop().time
        self._began_s: float | None = None
        self._is_fast = False

    async def gathered(self) -> bytes:
        """`read`, but what came meanwhile of a stream that comes faster than it need be looked at.

        Each look at a stream costs the loop more than the token that it brings.
        """
        if self._is_fast and self._began_s is not None:
            share_s = SHARE_GATHERED * (self._clock() - self._began_s)
            if share_s >= LEAST_GATHERED_S:
                await self._gather(min(share_s, MOST_GATHERED_S))
        asked_s = self._clock()
        chunk = await self.read()
        now_s = self._clock()
        self._is_fast = now_s - asked_s < FAST_S and len(chunk) < GATHERED_BYTES
        if self._began_s is None:
            self._began_s = now_s
        return chunk

    async def _gather(self, seconds: float) -> None:
        """Leave what comes in the socket, where it costs nothing."""
        connection = self._response.connection
        # An answer that has ended has given its connection back, perhaps to another call.
        transport = None if connection is None else connection.transport
        if transport is None:
            return
        transport.pause_reading()
        try:
            await asyncio.sleep(seconds)
        finally:
            if not transport.is_closing():
                transport.resume_reading()

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

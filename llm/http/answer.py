"""The body of one asynchronous answer, read within its time limits."""

from contextlib import suppress

import aiohttp

from llm.errors import LLMError
from llm.http.connection import END_OF_REPLY_S
from llm.http.deadlines import StreamWatch
from llm.wire.error_map import MAX_ERROR_BODY_BYTES, TRANSPORT_ERRORS

MAX_CHUNK_BYTES = 16 * 1024
"""What is read at once: more would hold up the loop."""


class Answer:
    """The bytes of an answer as they come; every wait is limited by its `watch`."""

    def __init__(self, content: aiohttp.StreamReader, watch: StreamWatch) -> None:
        self._content = content
        self._watch = watch

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

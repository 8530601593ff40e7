"""The asynchronous client: many streams at once, on one event loop."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import Self

import aiohttp

from llm.errors import (
    LLMError,
    LLMTimeoutError,
    OllamaUnreachableError,
    ResponseTooLargeError,
)
from llm.http.answer import Answer
from llm.http.catalog import ModelCatalog
from llm.http.connection import (
    DEFAULT_MAX_CONNECTIONS,
    HEADERS,
    HEALTH_TIMEOUT_S,
    async_session,
)
from llm.http.deadlines import IsAlive, StreamWatch
from llm.http.dialect import DIALECTS, OLLAMA, OPENAI, Dialect
from llm.http.served import ServedModels
from llm.settings import LLMSettings
from llm.wire.address import check_base_url, label_of, named
from llm.wire.error_map import TRANSPORT_ERRORS, lost_connection, refused
from llm.wire.models import is_same
from llm.wire.records import Delta, Final, ModelReply, joined
from llm.wire.requests import ChatRequest
from llm.wire.timeouts import Timeouts

DEFAULT_MAX_RESPONSE_BYTES = 16 * 1024 * 1024
BIG_CHUNK_BYTES = 4096
"""A chunk of more than a few records: the server is faster than its reader."""
MAX_LOOKUP_BYTES = 8 * 1024 * 1024
"""The longest list of models that is read; an entry has about 0.5 KB."""


class OllamaClient:
    """Chats with one Ollama over one pool of connections. Make it once per event loop.

    `max_connections` bounds the calls in flight; one more waits, within its `first_token_s`. The
    pool is made at the first call and belongs to that call's loop; `aclose()` closes it. The
    environment's proxies are not used and redirects are not followed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        timeouts: Timeouts | None = None,
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
        headers: Mapping[str, str] | None = None,
        dialect: Dialect = OLLAMA,
    ) -> None:
        self.base_url = check_base_url(base_url)
        self.dialect = dialect
        self._chat_url = f"{self.base_url}{dialect.chat_path}"
        self._max_connections = max_connections
        self._timeouts = timeouts or Timeouts()
        self.max_response_bytes = max_response_bytes
        self._headers = {**HEADERS, **(headers or {})}
        self.clock_ahead_s = 0.0
        """How far the server's clock is ahead of ours, if by seconds, as of its last look-up."""
        self._http: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watches: dict[StreamWatch, str] = {}
        self._is_closed = False
        self.catalog = ModelCatalog(self) if dialect is OLLAMA else ServedModels(self)

    @classmethod
    def from_settings(cls, settings: LLMSettings, *, max_connections: int) -> Self:
        """The client of these settings; `max_connections` is the process's concurrency."""
        return cls(
            settings.base_url,
            max_connections=max_connections,
            timeouts=settings.timeouts,
            max_response_bytes=settings.max_response_bytes,
            headers=settings.headers,
            dialect=DIALECTS[settings.dialect],
        )

    async def stream(
        self, request: ChatRequest, *, timeouts: Timeouts | None = None
    ) -> AsyncGenerator[Delta | Final, None]:
        """Yield the deltas of the reply as they come, then exactly one Final, the last item.

        Use it as `async with aclosing(client.stream(request)) as records:`. Leaving that block
        early, or cancelling the task, closes the connection at once: Ollama then stops the model.
        Anything but a whole answer raises an LLMError. Repeating a call asks the model again.
        """
        async with aclosing(self.chunks(request, timeouts=timeouts)) as chunks:
            async for records in chunks:
                for record in records:
                    yield record

    async def chunks(
        self, request: ChatRequest, *, timeouts: Timeouts | None = None
    ) -> AsyncGenerator[Sequence[Delta | Final], None]:
        """`stream`, but what comes at once together: never nothing, and the Final by itself."""
        if not request.expects_answer and self.dialect is OPENAI:
            # Such a server has loaded what it serves, and refuses a request that asks nothing.
            yield [Final(request.model, "load", server=label_of(self.base_url))]
            return
        limits, model = timeouts or self._timeouts, request.model
        reader = self.dialect.reader(request, self.base_url, self.max_response_bytes)
        is_alive = partial(self.catalog.is_at_work, model) if request.expects_answer else None
        body = self.dialect.body(request)
        async with self._answer(self._chat_url, body, model, limits, is_alive) as answer:
            while not reader.is_done and (chunk := await answer.gathered()):
                if deltas := reader.feed(chunk):
                    yield deltas
                # What comes faster than it is read never waits, and would keep the loop.
                if len(chunk) > BIG_CHUNK_BYTES:
                    await asyncio.sleep(0)
            if reader.is_done:
                await answer.read_to_end()
        if deltas := reader.finish():
            yield deltas
        yield [reader.final()]

    async def chat(self, request: ChatRequest, *, timeouts: Timeouts | None = None) -> ModelReply:
        """The whole reply at once; the same promises as `stream`."""
        async with aclosing(self.stream(request, timeouts=timeouts)) as records:
            return joined([record async for record in records])

    async def health_check(self, *, timeout_s: float = HEALTH_TIMEOUT_S) -> bool:
        """True if Ollama answers in time. Says nothing about a model; never raises an error.

        While it starts up Ollama accepts connections and stays silent: that is False.
        """
        try:
            await self.lookup(self.dialect.health_path, timeout_s=timeout_s)
        except LLMError:
            return False
        return True

    async def lookup(
        self,
        path: str,
        *,
        timeout_s: float = HEALTH_TIMEOUT_S,
        content: bytes | None = None,
        model: str = "",
    ) -> bytes:
        """The body of a GET (`/api/tags`, `/api/ps`), in time and bounded; with `content` a POST.

        `model` is the one that is asked about. Raises an LLMError.
        """
        limits = Timeouts.within(timeout_s)
        body = bytearray()
        try:
            async with aclosing(self.read(path, content, model=model, timeouts=limits)) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > MAX_LOOKUP_BYTES:
                        raise ResponseTooLargeError(f"the answer is over {MAX_LOOKUP_BYTES} bytes")
        # A look-up loads and generates nothing. A server that starts up is silent like this
        # (docs/ollama.md, Transport): it is away, not slow.
        except LLMTimeoutError as exc:
            raise OllamaUnreachableError(
                f"{named(self.base_url)} does not answer within {timeout_s:g} s"
            ) from exc
        return bytes(body)

    def abort(self, model: str, error: LLMError) -> None:
        """Let the calls of `model` in flight raise `error`."""
        for watch, of_model in self._watches.items():
            if is_same(of_model, model):
                watch.abort(error)

    async def aclose(self) -> None:
        """Close all connections; calls in flight raise OllamaUnreachableError. Safe to repeat."""
        self._is_closed = True
        await self.catalog.aclose()
        # aiohttp closes the sockets without waking those who read from them.
        for watch in self._watches:
            watch.abort(_closed())
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def read(
        self, path: str, content: bytes | None, *, model: str, timeouts: Timeouts
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of any other answer, about `model`: of a POST, or of a GET without `content`.

        The same promises as `stream`.
        """
        url = f"{self.base_url}{path}"
        async with self._answer(url, content, model, timeouts) as answer:
            while chunk := await answer.read():
                yield chunk

    @asynccontextmanager
    async def _answer(
        self,
        url: str,
        content: bytes | None,
        model: str,
        timeouts: Timeouts,
        is_alive: IsAlive | None = None,
    ) -> AsyncIterator[Answer]:
        """A reply of status 200; any failure as an LLMError."""
        response: aiohttp.ClientResponse | None = None
        watch = StreamWatch(timeouts, is_alive=is_alive)
        self._watches[watch] = model
        try:
            with watch:
                response = await self._begun(url, content, timeouts.connect_s)
            if content is None:
                self._note_clock(response.headers.get("Date"))
            answer = Answer(response, watch, self._watches)
            if response.status != 200:
                body = await answer.beginning()
                after = response.headers.get("Retry-After")
                raise refused(
                    response.status, body, model=model, base_url=self.base_url, retry_after=after
                )
            yield answer
        except TRANSPORT_ERRORS as exc:
            raise lost_connection(
                exc, replying=response is not None, base_url=self.base_url, timeouts=timeouts
            ) from exc
        finally:
            watch.close()
            del self._watches[watch]
            # One that was not read to its end is closed: that is the only cancel.
            if response is not None:
                response.release()

    async def _begun(
        self, url: str, content: bytes | None, connect_s: float
    ) -> aiohttp.ClientResponse:
        """The head of the answer."""
        return await self._session_here().request(
            "GET" if content is None else "POST",
            url,
            data=content,
            timeout=_until_connected(connect_s),
            allow_redirects=False,
        )

    def _note_clock(self, date: str | None) -> None:
        with suppress(TypeError, ValueError):  # a proxy may leave it out, or write what it likes
            ahead_s = parsedate_to_datetime(date or "").timestamp() - time.time()
            # The header has whole seconds: a difference of one says nothing.
            self.clock_ahead_s = ahead_s if abs(ahead_s) > 2 else 0.0

    def _session_here(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise _closed()
        # Made late: aiohttp's connections belong to the loop that they are made on.
        loop = asyncio.get_running_loop()
        if self._http is None:
            self._loop = loop
            self._http = async_session(self.base_url, self._max_connections, self._headers)
        elif self._loop is not loop:
            raise RuntimeError("an OllamaClient belongs to one event loop: create one per loop")
        return self._http


def _closed() -> OllamaUnreachableError:
    return OllamaUnreachableError("this client of Ollama has been closed")


@lru_cache(maxsize=8)
def _until_connected(connect_s: float) -> aiohttp.ClientTimeout:
    # No read limit: the first byte and later ones need two (StreamWatch).
    return aiohttp.ClientTimeout(sock_connect=connect_s)

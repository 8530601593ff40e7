"""Several Ollamas as one: a call goes to the best server, and to another if that one fails it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from llm.choice import best_of, one_to_warm
from llm.client import OllamaClient
from llm.errors import (
    LLMError,
    ModelNotFoundError,
    OllamaUnreachableError,
    RetryableLLMError,
    TotalTimeoutError,
)
from llm.records import Delta, Final, Reply, joined
from llm.requests import ChatRequest
from llm.server import Server, ServerState
from llm.settings import LLMSettings
from llm.timeouts import KEEP_WARM_S, LOAD_TIMEOUT_S, Timeouts

LOOK_AGAIN_S = 1.0
"""How long a call that no server may take waits at most before it looks again."""


class Fleet:
    """Chats with the servers of the settings. Make it once per event loop.

    A server that fails several calls in a row is left alone for a while (llm/breaker.py); a lone
    server never is, for there is nowhere else to go. `aclose()` closes all connections.
    """

    def __init__(
        self,
        clients: Sequence[OllamaClient],
        *,
        timeouts: Timeouts | None = None,
        load_timeout_s: float = LOAD_TIMEOUT_S,
        keep_warm_s: float = KEEP_WARM_S,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._servers = tuple(
            Server(
                client,
                timeouts=self._timeouts,
                load_timeout_s=load_timeout_s,
                keep_warm_s=keep_warm_s,
                on_change=self._announce,
            )
            for client in clients
        )
        self._by_url = {server.url: server for server in self._servers}
        self._change = asyncio.Event()
        self._waiting = 0

    @classmethod
    def from_settings(cls, settings: LLMSettings, *, max_connections: int) -> Self:
        """The fleet of these settings; `max_connections`, the process's concurrency, per server."""
        return cls(
            [
                OllamaClient.from_settings(settings.at(url), max_connections=max_connections)
                for url in settings.servers
            ],
            timeouts=settings.timeouts,
            load_timeout_s=settings.load_timeout_s,
            keep_warm_s=settings.keep_warm_s,
        )

    @property
    def states(self) -> tuple[ServerState, ...]:
        """How each server is seen from here."""
        return tuple(server.state for server in self._servers)

    @property
    def clients(self) -> tuple[OllamaClient, ...]:
        """The client of each server."""
        return tuple(server.client for server in self._servers)

    async def capabilities(self, model: str) -> frozenset[str] | None:
        """As `OllamaClient.capabilities`, of the first server that knows the model."""
        error: LLMError | None = None
        for server in sorted(self._servers, key=lambda one: one.census.readiness(model)):
            try:
                return await server.client.capabilities(model)
            except LLMError as exc:
                error = exc
        raise error or OllamaUnreachableError("there is no Ollama")

    async def stream(
        self, request: ChatRequest, *, session: str = "", timeouts: Timeouts | None = None
    ) -> AsyncGenerator[Delta | Final, None]:
        """As `OllamaClient.stream`, by the server that is best for `session` now.

        A retryable failure before the first piece of the reply moves the call to another server;
        each is tried once at most. Raises the LLMError of the last one, a retryable one first.
        """
        journey = _Journey(timeouts or self._timeouts)
        while True:
            server = await self._next(request, session, journey)
            has_spoken = False
            try:
                with server.calling(request) as trial:
                    if not server.warmer.is_warm(request):
                        await server.warmer.ensure(request)
                    stream = server.client.stream(request, timeouts=journey.ask())
                    async with aclosing(stream) as records:
                        async for record in records:
                            if not has_spoken:
                                has_spoken = True
                                server.answers(request.model, trial)
                            yield record
                return
            except LLMError as exc:
                if has_spoken or not journey.goes_on_after(exc, server.url):
                    raise

    async def chat(
        self, request: ChatRequest, *, session: str = "", timeouts: Timeouts | None = None
    ) -> Reply:
        """The whole reply at once; the same promises as `stream`."""
        stream = self.stream(request, session=session, timeouts=timeouts)
        async with aclosing(stream) as records:
            return joined([record async for record in records])

    async def aclose(self) -> None:
        """Close all connections; calls in flight raise OllamaUnreachableError. Safe to repeat."""
        for server in self._servers:
            await server.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _next(self, request: ChatRequest, session: str, journey: "_Journey") -> Server:
        """The server to try next. Raises the error to end with where there is none."""
        if len(self._servers) == 1:
            if journey.tried:
                raise journey.end(request.model, ())
            return self._servers[0]
        await self._look_round()
        while True:
            if (server := self._best(request, session, journey)) is not None:
                return server
            left = [server for server in self._servers if server.url not in journey.tried]
            if journey.tried or journey.patience_s <= 0:
                raise journey.end(request.model, left)
            # No time to wait means that the trial of another call is under way.
            wait_s = min(server.breaker.wait_s or LOOK_AGAIN_S for server in left)
            await self._wait_for_change(min(wait_s, journey.patience_s))

    def _best(self, request: ChatRequest, session: str, journey: "_Journey") -> Server | None:
        candidates = [
            server.candidate(request.model)
            for server in self._servers
            if server.url not in journey.tried and server.breaker.admits
        ]
        if (idle := one_to_warm(candidates, session)) is not None:
            self._by_url[idle.url].warmer.begin(request)
        best = best_of(candidates, session)
        return None if best is None else self._by_url[best.url]

    async def _look_round(self) -> None:
        """Renew what is known of the servers; waits only where nothing is known of one yet."""
        first = [look for server in self._servers if (look := server.census.freshen()) is not None]
        if first:
            await asyncio.wait(first)

    async def _wait_for_change(self, at_most_s: float) -> None:
        """Until a server may be asked again, as time or the end of another call decides it."""
        self._waiting += 1
        change = self._change
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(at_most_s):
                    await change.wait()
        finally:
            self._waiting -= 1

    def _announce(self) -> None:
        if self._waiting:
            self._change.set()
            self._change = asyncio.Event()


class _Journey:
    """One call on its way from server to server; its time is counted over all of them.

    The loading of a model and the wait for a server have limits of their own.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self.tried: set[str] = set()
        self._timeouts = timeouts
        self._began = time.monotonic()
        self._asked_at: float | None = None
        self._error: LLMError | None = None

    def ask(self) -> Timeouts:
        """A server is asked now; the limits for that."""
        self._asked_at = time.monotonic()
        return self._timeouts

    @property
    def patience_s(self) -> float:
        """How much longer it waits for a server: as long in all as for a first token."""
        return self._timeouts.first_token_s - (time.monotonic() - self._began)

    def goes_on_after(self, error: LLMError, url: str) -> bool:
        """Note the failure of a server; whether another one may do better."""
        self.tried.add(url)
        if self._asked_at is not None:
            left_s = self._timeouts.total_s - (time.monotonic() - self._asked_at)
            self._timeouts = replace(self._timeouts, total_s=max(left_s, 0.001))
            self._asked_at = None
        may_move = isinstance(error, RetryableLLMError | ModelNotFoundError)
        if not may_move or isinstance(error, TotalTimeoutError):
            return False
        if not isinstance(self._error, RetryableLLMError) or isinstance(error, RetryableLLMError):
            self._error = error
        return True

    def end(self, model: str, left: Sequence[Server]) -> LLMError:
        """What to raise when no other server can be asked; `left` are out of service."""
        names = ", ".join(server.label for server in left)
        if self._error is None:
            return OllamaUnreachableError(f"no Ollama can be asked: {names} failed again and again")
        if left and isinstance(self._error, ModelNotFoundError):
            return OllamaUnreachableError(
                f"no server that can be asked has the model '{model}'; out of service: {names}"
            )
        return self._error

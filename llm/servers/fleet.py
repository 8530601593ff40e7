"""Several Ollamas as one: a call goes to the best server, and to another if that one fails it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing, suppress
from typing import Self

from llm.errors import LLMError, OllamaUnreachableError
from llm.http.client import OllamaClient
from llm.servers.call_metrics import CallMeasure
from llm.servers.choice import Candidate, Readiness, best_of, one_to_warm
from llm.servers.failover import FailoverState, HeldSlot
from llm.servers.pull import Pulls
from llm.servers.server import Server, not_paused
from llm.servers.stays import KeepWarm
from llm.servers.watchdog import SharedAnswers
from llm.settings import LLMSettings
from llm.wire.models import full_name
from llm.wire.records import Delta, Final, ModelReply, joined
from llm.wire.requests import ChatRequest
from llm.wire.timeouts import LOAD_TIMEOUT_S, Timeouts

LOOK_AGAIN_S = 1.0  # so long a call that no server may take waits at most, and looks again


class Fleet:
    """Chats with the servers of the settings. Make it once per event loop.

    A server that fails several calls in a row is left alone for a while (llm/servers/breaker.py); a
    lone server never is, for there is nowhere else to go. `aclose()` closes all connections.
    """

    def __init__(
        self,
        clients: Sequence[OllamaClient],
        *,
        timeouts: Timeouts | None = None,
        load_timeout_s: float = LOAD_TIMEOUT_S,
        keep: KeepWarm | None = None,
        pulls: Pulls | None = None,
        answers: SharedAnswers | None = None,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self.servers = tuple(
            Server(
                client,
                timeouts=self._timeouts,
                load_timeout_s=load_timeout_s,
                keep=keep,
                pulls=pulls,
                answers=answers,
                on_change=self._announce,
            )
            for client in clients
        )
        self._by_url = {server.url: server for server in self.servers}
        self._change: asyncio.Event | None = None  # None where nobody waits for a server

    @classmethod
    def from_settings(
        cls,
        settings: LLMSettings,
        *,
        max_connections: int,
        models: Collection[str] = (),
        answers: SharedAnswers | None = None,
    ) -> Self:
        """The fleet of these settings; `max_connections`, the process's concurrency, per server.

        `answers` is what processes tell each other of models that answer. Of `models`, and no
        others, servers download what they lack, if the settings allow it.
        """
        pulls = Pulls(models, limit_s=settings.pull_timeout_s) if settings.pull_missing else None
        return cls(
            [
                OllamaClient.from_settings(settings.at(url), max_connections=max_connections)
                for url in settings.servers
            ],
            timeouts=settings.timeouts,
            load_timeout_s=settings.load_timeout_s,
            keep=KeepWarm(keep_warm_s=settings.keep_warm_s),
            pulls=pulls,
            answers=answers,
        )

    async def capabilities(self, model: str) -> frozenset[str] | None:
        """What `model` can do, in Ollama's words; None where its server does not say.

        It is looked up at the first server that knows the model. Raises an LLMError.
        """
        error: LLMError = OllamaUnreachableError("no Ollama is configured")
        # A server that has answered comes first: one that is down costs each turn three seconds.
        for server in sorted(
            self.servers,
            key=lambda one: (not one.catalog.has_details(model), one.readiness(model)),
        ):
            try:
                return (await server.catalog.details(model)).capabilities
            except LLMError as exc:
                error = exc
        raise error

    async def answers(self, url: str) -> bool:
        """Whether a server of ours answers a look at its health. Raises no error."""
        return await self._by_url[url].health.is_well()

    def able_to(self, model: str) -> tuple[str, ...]:
        """The servers that may have a model, as far as is known; never none."""
        able = [one.url for one in self.servers if one.readiness(model) is not Readiness.ABSENT]
        return tuple(able or self._by_url)

    def note_paused(self, urls: Collection[str]) -> None:
        """These servers are paused, and no others: new calls go elsewhere."""
        for server in self.servers:
            server.pause(server.url in urls)
        self._announce()

    def note_look(self, away: Collection[str], back: Collection[str]) -> None:
        """Some servers are said to be away, and some to be well again: those may be asked now."""
        for url in away:
            self._by_url[url].health.note_away()
        for url in back:
            self._by_url[url].breaker.end_pause()
        self._announce()

    def open_to(self, model: str) -> tuple[str, ...]:
        """The servers that may be asked for a model, as far as is known; never none."""
        # With every breaker open the call waits for the first server that is well
        # (docs/decisions.md, "With every server out, a call waits"): any may be that one.
        return self._ranked(model, "") or tuple(self._by_url)

    async def ranked(self, model: str, session: str) -> tuple[str, ...]:
        """The same, the best for `session` first."""
        if len(self.servers) > 1:
            await self._look_round()
        return self._ranked(model, session) or tuple(self._by_url)

    async def stream(
        self,
        request: ChatRequest,
        *,
        session: str = "",
        timeouts: Timeouts | None = None,
        held_slot: HeldSlot | None = None,
        on_server: Callable[[str], None] = lambda _: None,
    ) -> AsyncGenerator[Delta | Final, None]:
        """`chunks`, record by record."""
        stream = self.chunks(
            request, session=session, timeouts=timeouts, held_slot=held_slot, on_server=on_server
        )
        async with aclosing(stream) as chunks:
            async for records in chunks:
                for record in records:
                    yield record

    async def chunks(
        self,
        request: ChatRequest,
        *,
        session: str = "",
        timeouts: Timeouts | None = None,
        held_slot: HeldSlot | None = None,
        on_server: Callable[[str], None] = lambda _: None,
    ) -> AsyncGenerator[Sequence[Delta | Final], None]:
        """As `OllamaClient.chunks`, by the server that is best for `session` now.

        A retryable failure before the first piece of the reply moves the call to another server;
        each is tried once at most. Raises the LLMError of the last one, a retryable one first.
        With a `held_slot` only the server of that slot is asked; `on_server` is told which are.
        """
        failover, model = FailoverState(timeouts or self._timeouts), full_name(request.model)
        slot = held_slot if held_slot is not None and held_slot.server else None
        while True:
            server = await self._next(request, session, failover, slot)
            on_server(server.url)
            has_spoken = False
            try:
                with CallMeasure(server.label, request) as call, server.calling(request) as trial:
                    await server.load(request)
                    stream = server.client.chunks(request, timeouts=failover.ask())
                    async with aclosing(stream) as chunks:
                        async for records in chunks:
                            if not has_spoken:
                                has_spoken = True
                                server.answers(request.model, trial)
                            server.heard(model)
                            call.heard(records)
                            yield records
                return
            except LLMError as exc:
                await server.health.look_after(exc, failover.asked_at)
                # Its reader has a part of this reply; another server would begin another.
                if has_spoken or not failover.goes_on_after(exc, server.url):
                    raise

    async def chat(
        self, request: ChatRequest, *, session: str = "", timeouts: Timeouts | None = None
    ) -> ModelReply:
        """The whole reply at once; the same promises as `stream`."""
        async with aclosing(self.stream(request, session=session, timeouts=timeouts)) as records:
            return joined([record async for record in records])

    async def aclose(self) -> None:
        """Close all connections; calls in flight raise OllamaUnreachableError. Safe to repeat."""
        for server in self.servers:
            await server.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _next(
        self, request: ChatRequest, session: str, failover: FailoverState, slot: HeldSlot | None
    ) -> Server:
        """The server to try next. Raises the error to end with where there is none."""
        if len(self.servers) > 1 and slot is None:
            await self._look_round()
        while True:
            server = await self._choice(request, session, failover, slot)
            if server is not None:
                return server
            if failover.tried or failover.patience_s <= 0:
                raise failover.end(request.model, self._left(failover))
            # Failing at once would use up a job's attempts within seconds (docs/decisions.md, "With
            # every server out, a call waits").
            await self._wait_for_change(min(self._wait_s(failover), failover.patience_s))

    async def _choice(
        self, request: ChatRequest, session: str, failover: FailoverState, slot: HeldSlot | None
    ) -> Server | None:
        """The server that may be asked now; a slot moves along to another after a failure."""
        is_lone = len(self.servers) == 1
        # docs/decisions.md, "Slots per server, waiters per model, and the mailbox behind them".
        if slot is not None:
            server = self._by_url[slot.server]
            if not failover.tried and (is_lone or server.breaker.admits):
                return server
            others = self._ranked(request.model, session, failover.tried)
            if others and not await slot.move(others):
                raise failover.end(request.model, self._left(failover), full=others)
            return self._by_url[slot.server] if others else None
        # There is no elsewhere (docs/decisions.md, "A single Ollama has no circuit breaker").
        if is_lone:
            return None if failover.tried else self.servers[0]
        return self._best(request, session, failover)

    def _left(self, failover: FailoverState) -> list[Server]:
        return [server for server in self.servers if server.url not in failover.tried]

    def _wait_s(self, failover: FailoverState) -> float:
        # No time to wait means that the trial of another call is under way.
        return min(server.breaker.wait_s or LOOK_AGAIN_S for server in self._left(failover))

    def _ranked(
        self, model: str, session: str, but: Collection[str] = frozenset()
    ) -> tuple[str, ...]:
        candidates = self._candidates(model, but)
        # Where no server is known to have the model, Ollama's own 404 decides: docs/decisions.md,
        # "A missing model is requested nevertheless".
        able = [one for one in candidates if one.readiness is not Readiness.ABSENT] or candidates
        order: list[str] = []
        while (best := best_of(able, session)) is not None:
            order.append(best.url)
            able.remove(best)
        return tuple(order)

    def _candidates(self, model: str, but: Collection[str]) -> list[Candidate]:
        return [
            server.candidate(model)
            for server in not_paused(self.servers, model)
            if server.url not in but and server.breaker.admits
        ]

    def _best(self, request: ChatRequest, session: str, failover: FailoverState) -> Server | None:
        candidates = self._candidates(request.model, failover.tried)
        # For calls to come: this one goes to a server that is warm.
        if (idle := one_to_warm(candidates, session)) is not None:
            self._by_url[idle.url].warmer.begin(request)
        best = best_of(candidates, session)
        return None if best is None else self._by_url[best.url]

    async def _look_round(self) -> None:
        """Renew what is known of the servers; waits only where nothing is known of one yet."""
        first = [look for server in self.servers if (look := server.catalog.renew()) is not None]
        if first:
            await asyncio.wait(first)

    async def _wait_for_change(self, at_most_s: float) -> None:
        """Until a server may be asked again, as time or the end of another call decides it."""
        change = self._change = self._change or asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await change.wait()

    def _announce(self) -> None:
        change, self._change = self._change, None  # who waits from here on waits for the next
        if change is not None:
            change.set()

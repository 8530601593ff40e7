"""Vectors of several servers: a call goes to the best one, and to another if that one fails it."""

from dataclasses import replace

from llm.errors import LLMError
from llm.http import embedding
from llm.servers.failover import FailoverState, HeldSlot
from llm.servers.fleet import Fleet
from llm.servers.server import Server
from llm.settings import LLMSettings
from llm.wire.embed import Embedded, EmbedRequest
from llm.wire.requests import ChatRequest


async def embed(
    fleet: Fleet, settings: LLMSettings, request: EmbedRequest, *, held_slot: HeldSlot | None = None
) -> Embedded:
    """The vectors of a request, as `llm.http.embedding.embed`, by the server that is best now.

    A retryable failure moves the call to another server; each is tried once at most. Raises the
    LLMError of the last one. With a `held_slot` only the server of that slot is asked.
    """
    failover = FailoverState(settings.timeouts)
    # What breaker and load are told of; no chat is made of it, which such a model could not answer.
    asked = ChatRequest(model=request.model)
    slot = held_slot if held_slot is not None and held_slot.server else None
    while True:
        server = await _next(fleet, request.model, failover, slot)
        limits = failover.ask()
        if not server.catalog.is_loaded(request.model):
            # Nothing loads it ahead, as it does for chats: Ollama does within this call.
            first_s = max(limits.first_token_s, settings.load_timeout_s)
            limits = replace(limits, first_token_s=first_s, total_s=max(limits.total_s, first_s))
        try:
            with server.calling(asked) as trial:
                answer = await embedding.embed(server.client, request, timeouts=limits)
                server.answers(request.model, trial)
            return answer
        except LLMError as exc:
            await server.health.look_after(exc, failover.asked_at)
            if not failover.goes_on_after(exc, server.url):
                raise


async def _next(fleet: Fleet, model: str, failover: FailoverState, slot: HeldSlot | None) -> Server:
    """The server to ask next. Raises the error to end with where there is none."""
    by_url = {server.url: server for server in fleet.servers}
    if slot is not None and not failover.tried:
        return by_url[slot.server]
    ranked = [url for url in await fleet.ranked(model, "") if url not in failover.tried]
    left = [server for server in fleet.servers if server.url not in failover.tried]
    if not ranked:
        raise failover.end(model, left)
    if slot is None:
        return by_url[ranked[0]]
    if not await slot.move(ranked):
        raise failover.end(model, left, full=ranked)
    return by_url[slot.server]

"""The route of chat completions."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from gateway.access import Shared, Writer
from gateway.completions.request import CompletionRequest
from gateway.completions.shape import Chunks, completion
from gateway.direct_route import DirectRoute
from gateway.doors.answers import server_sent
from gateway.errors import ApiError, body_of
from gateway.responses import sending
from gateway.responses.answering import Answering
from gateway.responses.following import job_pages
from gateway.responses.shape import Known
from memory import MemoryServiceError
from tasks import ChatError

router = APIRouter(tags=["chat completions"])
PREFIX = "chatcmpl-"
DONE = b"data: [DONE]\n\n"


async def create_completion(
    asked: CompletionRequest,
    request: Request,
    gateway: Shared,
    caller: Writer,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Go on with a conversation, whole or as a stream. Without a session nothing of it is kept."""
    key = sending.check_header(idempotency_key)
    wanted = asked.as_response()
    known = await sending.send(gateway, caller, wanted, key, prefix=PREFIX, param="messages")
    answering = Answering(gateway, caller, known)
    if asked.stream:
        return answering.stream(_pieces(known, Chunks(known, has_usage=asked.has_usage)))
    return await answering.whole(request, lambda done: completion(known, done))


router.add_api_route(
    "/v1/chat/completions",
    create_completion,
    methods=["POST"],
    route_class_override=DirectRoute,
)


async def _pieces(known: Known, chunks: Chunks) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(job_pages(known)) as found:
            async for page in found:
                for chunk in chain.from_iterable(map(chunks.take, page)):
                    yield server_sent(chunk)
        yield DONE
    except (ApiError, ChatError, MemoryServiceError) as error:
        yield server_sent(body_of(error))

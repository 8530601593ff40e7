"""The routes of responses."""

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from gateway.access import Eraser, Reader, Shared, Writer
from gateway.acting import cancelled
from gateway.direct_route import DirectRoute
from gateway.doors.answers import EventStream, Json
from gateway.paging import Page, page_of
from gateway.responses import deletion, following, inputs, sending
from gateway.responses.answering import Answering
from gateway.responses.request import ResponseRequest

router = APIRouter(prefix="/v1/responses", tags=["responses"])
ResponseId = Annotated[str, Path(max_length=512)]
CANCEL_WAIT_S = 5.0


async def create_response(
    asked: ResponseRequest,
    request: Request,
    gateway: Shared,
    caller: Writer,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Have a message answered: now, as a stream, or in the background."""
    key = sending.check_header(idempotency_key)
    known = await sending.send(gateway, caller, asked, key)
    if asked.stream:
        return Answering(gateway, caller, known).stream(following.pieces(known))
    if asked.background:
        return Json(known.response("queued"))
    return await Answering(gateway, caller, known).whole(request)


router.add_api_route("", create_response, methods=["POST"], route_class_override=DirectRoute)


@router.get("/{response_id}")
async def retrieve_response(
    response_id: ResponseId,
    gateway: Shared,
    caller: Reader,
    stream: bool = False,
    starting_after: Annotated[int, Query(ge=0)] | None = None,
) -> Response:
    """The response as it is now; or its stream, from behind an event, also after its end."""
    standing, known = await following.find(gateway, caller, response_id)
    if not stream:
        return JSONResponse(await following.as_it_is(standing, known))
    start = following.FROM_FIRST if starting_after is None else starting_after
    await following.check_resumable(known, start)
    pieces = following.pieces(known, starting_after=start)
    return EventStream(pieces, keep_alive_s=gateway.settings.keep_alive_s)


@router.post("/{response_id}/cancel")
async def cancel_response(response_id: ResponseId, gateway: Shared, caller: Writer) -> Response:
    """Cancel a response, waiting or running; one that is over stays as it is."""
    _, known = await following.find(gateway, caller, response_id)
    await cancelled(caller, response_id, known.record.cancel_policy)
    with suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_WAIT_S):
            return JSONResponse(await following.ended(known))
    return JSONResponse(known.response("in_progress"))


@router.delete("/{response_id}")
async def delete_response(response_id: ResponseId, gateway: Shared, caller: Eraser) -> Response:
    """Delete a response that is over: result and events. Its turn stays in the conversation."""
    standing, _ = await following.find(gateway, caller, response_id)
    await deletion.delete(gateway, standing)
    return JSONResponse({"id": response_id, "object": "response", "deleted": True})


@router.get("/{response_id}/input_items")
async def list_input_items(
    response_id: ResponseId, gateway: Shared, caller: Reader, page: Page
) -> Response:
    """What the response was asked."""
    standing, _ = await following.find(gateway, caller, response_id)
    items = await inputs.input_items(gateway, standing)
    return JSONResponse(page_of(items, page))

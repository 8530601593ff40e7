"""Handing a response over: whole, when it is done, or as a stream; and what a hang-up means."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeAlias

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from gateway.access import Caller
from gateway.acting import erased_session, gave_up
from gateway.doors.answers import ClientLeft, EventStream, while_there
from gateway.errors import SERVER, ApiError
from gateway.responses import following
from gateway.responses.shape import Known
from gateway.services import Gateway
from memory import MemoryServiceError
from memory.ids import shown_id
from tasks import ChatError

logger = logging.getLogger(__name__)

Shown: TypeAlias = Callable[[dict[str, object]], dict[str, object]]
NOBODY = 499
"""The status that the log has where nobody is there to be answered."""


class Answering:
    """One response on its way to the client that asked for it."""

    def __init__(self, gateway: Gateway, caller: Caller, known: Known) -> None:
        self._gateway = gateway
        self._caller = caller
        self._known = known

    async def whole(self, request: Request, shown: Shown = lambda done: done) -> Response:
        """The response once it is over, as it is `shown`; ApiError 504 where that takes too
        long."""
        try:
            async with asyncio.timeout(self._gateway.settings.request_s):
                done = await while_there(request.receive, following.ended(self._known))
        except ClientLeft:
            await self.hang_up()
            return Response(status_code=NOBODY)
        except TimeoutError:
            await self.hang_up()
            raise ApiError(
                504,
                "The answer took too long; ask in the background or for a stream.",
                code="timeout",
                kind=SERVER,
            ) from None
        await self.forget()
        return JSONResponse(shown(done))

    def stream(self, pieces: AsyncGenerator[bytes, None]) -> Response:
        """The response as it comes, in these pieces."""
        settings = self._gateway.settings
        return EventStream(
            self._to_the_end(pieces),
            keep_alive_s=settings.keep_alive_s,
            on_hangup=self.hang_up,
        )

    async def hang_up(self) -> None:
        """The client has left before the end: nobody waits for the answer any more, but where the
        request has an idempotency key: that is for coming back, and another may wait for it now."""
        record = self._known.record
        goes_on = record.background or record.is_repeatable
        if goes_on or not self._gateway.settings.cancels_on_hangup:
            return
        job_id = self._known.response_id
        await gave_up(self._caller, job_id, record.cancel_policy, self._temporary)

    async def forget(self) -> None:
        """Erase the session of a response that was not to be stored. A failure is logged: the
        answer is there, and must not be lost with it."""
        if self._temporary is None:
            return
        try:
            await erased_session(self._caller, *self._temporary)
        except (ChatError, MemoryServiceError) as exc:
            logger.warning(
                "the session of response %s is not erased, and stays for its TTL: %s",
                shown_id(self._known.response_id),
                exc,
            )

    @property
    def _temporary(self) -> tuple[str, str] | None:
        if self._known.record.store:
            return None
        return self._known.agent_id, self._caller.session(self._known.conversation)

    async def _to_the_end(self, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
        await self.forget()

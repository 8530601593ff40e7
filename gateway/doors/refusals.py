"""What the server answers by itself, before any request is the application's."""

from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from gateway.doors.guard import Numbered
from gateway.doors.request_id import new_request_id
from gateway.errors import INVALID, SERVER, ApiError, retry_after

FULL = "This gateway has as many connections as it may have. Try again later."


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request as one connection too many, and close."""
    refusal = ApiError(503, FULL, code="too_many_connections", kind=SERVER)
    headers = {**retry_after(), "Connection": "close"}
    await JSONResponse(refusal.body, refusal.status, headers)(scope, receive, send)


busy = Numbered(_busy)
"""The application of a connection too many."""


def malformed(why: str) -> bytes:
    """A whole answer to what is no request."""
    answer = JSONResponse(
        ApiError(400, why, code="invalid_request", kind=INVALID).body,
        400,
        {"X-Request-ID": new_request_id(), "Connection": "close"},
    )
    head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
    return b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + bytes(answer.body)

"""Which answer of HTTP each error becomes, in the form that OpenAI's clients read."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Literal, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from memory import InvalidInput, MemoryServiceError, MemoryUnavailable
from memory.quoting import quoted
from tasks import (
    Backpressure,
    ChatError,
    InvalidJob,
    JobConflict,
    LimitReached,
    MemoryFull,
    NotAccepted,
    QuotaExceeded,
    SessionBusy,
)

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5
INVALID = "invalid_request_error"
RATE_LIMIT = "rate_limit_error"
SERVER = "server_error"
NOT_CONFIRMED = "It is not known whether the message is in: send it again, with the same key."
FULL = "The memory is full: nothing was taken in. Try again later."
AWAY = "The memory does not answer. Try again later."
Accepted = Literal["no", "unknown"]


class ApiError(Exception):
    """What a request is refused with: HTTP's status, and OpenAI's type, code and parameter."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = INVALID,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.kind = kind
        self.headers = headers

    @property
    def body(self) -> dict[str, dict[str, object]]:
        """The error as OpenAI's clients read it."""
        return _body(str(self), self.kind, self.code, self.param)


def not_found(what: str, an_id: str) -> ApiError:
    """The error for what nobody has, or is another's: the two cannot be told apart."""
    return ApiError(404, f"No {what} found with id '{an_id[:128]}'.", code="not_found")


@dataclass(frozen=True, slots=True)
class _Form:
    """How a kind of error is answered. `accepted`: whether the job may be in all the same. `said`:
    what clients are told, where the error's own words are for operators."""

    status: int
    kind: str
    code: str
    accepted: Accepted = "no"
    said: str | None = None


# The first that fits: what stands above is a subclass of what stands below.
_FORMS: Mapping[type[Exception], _Form] = {
    JobConflict: _Form(409, INVALID, "conflict"),
    InvalidJob: _Form(400, INVALID, "invalid_request"),
    SessionBusy: _Form(409, INVALID, "session_busy"),
    QuotaExceeded: _Form(429, RATE_LIMIT, "rate_limit_exceeded"),
    Backpressure: _Form(429, RATE_LIMIT, "backpressure"),
    LimitReached: _Form(503, SERVER, "limit_reached"),
    NotAccepted: _Form(503, SERVER, "not_accepted", "unknown", NOT_CONFIRMED),
    MemoryFull: _Form(503, SERVER, "memory_full", said=FULL),
    MemoryUnavailable: _Form(503, SERVER, "memory_unavailable", "unknown", AWAY),
    InvalidInput: _Form(400, INVALID, "invalid_request"),
}


def answer_errors(app: FastAPI) -> None:
    """Let `app` answer errors in OpenAI's form."""
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    # Of any other error the server logs the traceback, too.
    for kind in (ChatError, MemoryServiceError, Exception):
        app.add_exception_handler(kind, _answer_ours)


def retry_after(wait_s: int = RETRY_AFTER_S) -> dict[str, str]:
    """The header that says when a client may come again."""
    return {"Retry-After": str(wait_s)}


def body_of(error: Exception) -> dict[str, dict[str, object]]:
    """An error as it stands in an answer or in a stream; no word of a conversation is in it."""
    if isinstance(error, ApiError):
        return error.body
    if (form := _form_of(error)) is None:
        return _body("The server had an error; its log says which.", SERVER, None, None)
    if form.said is not None:
        # Its words name servers and addresses, and anybody may see them, without a key too.
        logger.warning("a request is refused as %s: %s", form.code, error)
    body = _body(form.said or str(error), form.kind, form.code, None)
    return {**body, "griot": {"accepted": form.accepted}}


def _form_of(error: Exception) -> _Form | None:
    return next((form for kind, form in _FORMS.items() if isinstance(error, kind)), None)


def _body(
    message: str, kind: str, code: str | None, param: str | None
) -> dict[str, dict[str, object]]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _answer_api_error(_: Request, error: Exception) -> Response:
    error = cast(ApiError, error)
    return JSONResponse(error.body, error.status, error.headers)


def _answer_ours(request: Request, error: Exception) -> Response:
    form = _form_of(error)
    if form is None:
        request_id = getattr(request.state, "request_id", "")
        logger.error("request %s failed: %s", quoted(request_id), type(error).__name__)
        # Of a fault nobody foresaw the doors see nothing, and the server closes the connection: so
        # it is said here which request that was, and that no other must follow on it.
        return JSONResponse(
            body_of(error), 500, {"X-Request-ID": request_id, "Connection": "close"}
        )
    wait_s = ceil(error.retry_after_s) if isinstance(error, QuotaExceeded) else RETRY_AFTER_S
    headers = retry_after(wait_s) if form.status in {429, 503} else None
    return JSONResponse(body_of(error), form.status, headers)


def _answer_validation(_: Request, error: Exception) -> Response:
    error = cast(RequestValidationError, error)
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    # Not pydantic's whole error: it holds the input.
    message = f"{'.'.join(path) or 'the request'}: {first['msg']}"
    unknown = first["type"] == "extra_forbidden"
    code = "unknown_parameter" if unknown else "invalid_value"
    return JSONResponse(_body(message, INVALID, code, ".".join(path) or None), 400)


def _answer_http(_: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code)
    body = _body(str(error.detail), INVALID, code, None)
    return JSONResponse(body, error.status_code, error.headers)

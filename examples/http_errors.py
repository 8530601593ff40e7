"""Which status of HTTP each error of Griot becomes."""

from functools import partial
from math import ceil

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from llm import LLMError
from memory import InvalidInput, MemoryUnavailable
from tasks import (
    Backpressure,
    InvalidJob,
    JobConflict,
    LimitReached,
    MemoryFull,
    NotAccepted,
    QuotaExceeded,
    SessionBusy,
)

# What the caller can do: correct the request, wait for earlier answers, try again.
STATUS_OF = {
    InvalidJob: 422,
    JobConflict: 409,
    SessionBusy: 409,
    InvalidInput: 422,
    Backpressure: 429,
    QuotaExceeded: 429,
    LimitReached: 503,
    NotAccepted: 503,
    MemoryFull: 503,
    MemoryUnavailable: 503,
    LLMError: 502,
}
RETRY_AFTER_S = 5


def answer_errors(app: FastAPI) -> None:
    """Let `app` answer each of these errors with its status."""
    for kind, status in STATUS_OF.items():
        app.add_exception_handler(kind, partial(refuse, status))


def refuse(status: int, request: Request, error: Exception) -> Response:
    """The error as an answer; its message never holds the conversation's text."""
    wait_s = ceil(error.retry_after_s) if isinstance(error, QuotaExceeded) else RETRY_AFTER_S
    headers = {"Retry-After": str(wait_s)} if status in {429, 503} else None
    return JSONResponse({"detail": str(error)}, status, headers)

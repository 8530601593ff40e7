"""What a request must be before anything of the example sees it.

- Its `Host` is one of WEB_HOSTS: else a name that an attacker has pointed at this machine would
  make the attacker's page and this server the same site (DNS rebinding).
- It changes nothing for a page of another site: an `Origin` other than ours is refused, and so is a
  body that is no JSON, which is all that a form of another site can send without asking first.
- Its body is small.
"""

from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.settings import web_settings

MAX_BODY_BYTES = 262_144
"""A message of CHAT_MAX_MESSAGE_BYTES, however its JSON is escaped."""
HARMLESS = ("GET", "HEAD", "OPTIONS")


def protect(app: FastAPI) -> None:
    """Put the guards in front of `app`. The one that is added last is asked first."""
    app.add_middleware(Guard)
    hosts = [host.strip() for host in web_settings().hosts.split(",")]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)


class Guard:
    """The application without requests that are too large or come from pages of other sites."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = refused(scope["method"], Headers(scope=scope))
        body = None if refusal else await read_body(receive)
        if body is None:
            too_large = (413, f"a request has at most {MAX_BODY_BYTES} bytes")
            status, why = refusal or too_large
            answer = JSONResponse({"detail": why}, status, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, receive_again, send)


def refused(method: str, headers: Headers) -> tuple[int, str] | None:
    """The status and reason with which a request is refused by its headers; None: it is not."""
    if method in HARMLESS:
        return None
    origin = headers.get("origin")
    is_foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
    if is_foreign or headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return 403, "a page of another site may not do this"
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and kind != "application/json":
        return 415, "send JSON, with Content-Type: application/json"
    return None


async def read_body(receive: Receive) -> bytes | None:
    """The body of a request; None as soon as it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):  # also where the client has left
            return bytes(body)

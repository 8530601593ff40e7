"""What a request must be before anything sees it, and the id that it goes by.

- Its body is small, comes in time, and is JSON: all that a form of a web page can send without
  asking first is something else.
- It does not come from a page of another site, unless GATEWAY_CORS_ORIGINS has that.
- Its id is the client's `X-Request-ID` or a new one; the answer and the log have it.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.doors.request_id import request_id_of
from gateway.doors.request_span import RequestSpan, traced_request
from gateway.errors import ApiError
from gateway.settings import GatewaySettings, names_in
from memory.quoting import quoted
from telemetry.metrics import REQUEST_TIME, REQUESTS

logger = logging.getLogger(__name__)

HARMLESS = ("GET", "HEAD", "OPTIONS")
NO_ROUTE = "unknown path"
"""What log and metrics call a path that is none of ours."""
SECURE: Mapping[str, str] = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class Numbered:
    """Gives each request its id, and each answer our headers, a line in the log and its place in
    the metrics: those too that no application sees. The outermost door."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with traced_request(scope) as span:
            await self._app(scope, receive, _Asked(scope, send, span).send)


class Guard:
    """The application without requests that it must not see."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        self._app = app
        self._settings = settings
        self._origins = frozenset(names_in(settings.cors_origins))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope["method"], Headers(scope=scope))
            body = await self._body(receive)
        except ApiError as refused:
            answer = JSONResponse(refused.body, refused.status, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, receive_again, send)

    def _check(self, method: str, headers: Headers) -> None:
        if method in HARMLESS:
            return
        origin = headers.get("origin")
        is_foreign = origin is not None and _host_of(origin) != headers.get("host")
        if is_foreign and origin not in self._origins:
            raise ApiError(403, "A page of another site may not do this.", code="forbidden")
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and kind != "application/json":
            raise ApiError(415, "Send JSON, with Content-Type: application/json.")

    async def _body(self, receive: Receive) -> bytes:
        most, body = self._settings.max_body_bytes, bytearray()
        try:
            async with asyncio.timeout(self._settings.body_s):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise ApiError(413, f"A request has at most {most} bytes.")
                    if not message.get("more_body", False):  # also where the client has left
                        return bytes(body)
        except TimeoutError:
            raise ApiError(408, "The body of the request did not come in time.") from None


class _Asked:
    """A request on its way: its id, and the line that the log has of it."""

    def __init__(self, scope: Scope, send: Send, span: RequestSpan) -> None:
        self._scope = scope
        self._span = span
        self._send = send
        self._began_s = time.monotonic()
        self.request_id = request_id_of(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = self.request_id

    async def send(self, message: Message) -> None:
        """Send a part of the answer on, with our headers."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            for name, value in SECURE.items():
                headers[name] = value
            self._span.answered(message["status"])
            self._log(message["status"])
        await self._send(message)

    def _log(self, status: int) -> None:
        state, route = self._scope["state"], self._scope.get("route")
        # The route's own path: that of the request holds ids, and whatever a client puts there.
        path, took_s = getattr(route, "path", NO_ROUTE), time.monotonic() - self._began_s
        REQUESTS.labels(path, str(status)).inc()
        REQUEST_TIME.labels(path).observe(took_s)
        logger.info(
            "%s %s: %d after %.0f ms, request %s of %s",
            self._scope["method"],
            path,
            status,
            took_s * 1000,
            quoted(self.request_id),
            quoted(state.get("caller", "nobody")),
        )


def _host_of(origin: str) -> str | None:
    """The host in an `Origin`, with its port; None where there is none."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:  # no address at all, such as http://[
        return None

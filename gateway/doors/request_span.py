"""A request as a span: the root of what it leads to, or a part of its client's own trace."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from starlette.datastructures import Headers
from starlette.types import Scope

from telemetry import tracing

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER = "_OTHER"
"""The method, as OpenTelemetry's conventions have it, of a request with one of its own making."""


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: Span, scope: Scope, method: str) -> None:
        self._span = span
        self._scope = scope
        self._method = method

    def answered(self, status: int) -> None:
        """The answer begins. By then it is known which route has it."""
        path = getattr(self._scope.get("route"), "path", None)
        # The route's own path: that of the request holds ids, and whatever a client puts there.
        if path is not None:
            self._span.update_name(f"{self._method} {path}")
        tracing.note(self._span, {"http.response.status_code": status, "http.route": path})
        if status >= 500:
            tracing.note_error(self._span, str(status))


@contextmanager
def traced_request(scope: Scope) -> Iterator[RequestSpan]:
    """The span of the request that is handled within the block."""
    method = scope["method"] if scope["method"] in METHODS else OTHER
    if not tracing.is_on():  # to ask is the dearest part of it, so it is asked once
        yield RequestSpan(INVALID_SPAN, scope, method)
        return
    facts = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
    place = _place(scope)
    with tracing.span(method, kind=SpanKind.SERVER, within=place, attributes=facts) as span:
        yield RequestSpan(span, scope, method)


def _place(scope: Scope) -> tracing.Carrier:
    headers = Headers(scope=scope)
    named = {name: headers.get(name) for name in (tracing.PARENT, tracing.STATE)}
    return tracing.checked(named)

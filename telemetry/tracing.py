"""Spans of OpenTelemetry, and how the trace of a job goes along with it.

A service's own SDK takes the spans of whoever sends, that of `worker.traces` those of our
processes. Without one nothing is made here: what asks for a span gets one that records nothing.

No span holds what was said: exceptions are not recorded in them, for their texts may.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import lru_cache
from typing import TypeAlias

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    ProxyTracerProvider,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    TracerProvider,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

Carrier: TypeAlias = Mapping[str, str]
"""A place in a trace as the W3C writes it: `traceparent`, and `tracestate` where there is one."""

Facts: TypeAlias = Mapping[str, AttributeValue | None]
"""Attributes of a span, those that are not known as None."""

MOST_CONTENT_CHARS = 65_536
"""Of what was said a span holds so much."""

PARENT, STATE = "traceparent", "tracestate"
MOST_PARENT_CHARS = 55
MOST_STATE_CHARS = 512

chosen_ids: ContextVar[tuple[int | None, int | None]] = ContextVar(
    "chosen_ids", default=(None, None)
)
"""The ids of the next trace and of the next span, where they are not left to chance."""

_W3C = TraceContextTextMapPropagator()
_NAME = "griot"
_NOTHING: Carrier = {}
_NO_SPAN = nullcontext(INVALID_SPAN)
"""For whatever is in no trace, which costs nothing then."""


def is_on() -> bool:
    """Whether an SDK takes spans in this process."""
    return type(trace.get_tracer_provider()) is not ProxyTracerProvider


def bounded(said: str) -> str:
    """What a span holds of what was said."""
    return said[:MOST_CONTENT_CHARS]


def checked(given: object) -> Carrier:
    """A place in a trace that anybody has given; empty where it is none, or oddly long."""
    if not isinstance(given, Mapping):
        return _NOTHING
    parent, state = given.get(PARENT), given.get(STATE)
    if not isinstance(parent, str) or len(parent) > MOST_PARENT_CHARS:
        return _NOTHING
    found = {PARENT: parent}
    if isinstance(state, str) and 0 < len(state) <= MOST_STATE_CHARS:
        found[STATE] = state
    return carrier_of(_span_at(found))


def carrier() -> Carrier:
    """The place in a trace where this code is; empty where it is in none."""
    return carrier_of(trace.get_current_span())


def carrier_of(span: Span) -> Carrier:
    """The place of a span."""
    if not span.get_span_context().is_valid:
        return _NOTHING
    found: dict[str, str] = {}
    _W3C.inject(found, trace.set_span_in_context(span, Context()))
    return found


def ids_of(given: object) -> tuple[int, int] | None:
    """The ids of the trace and the span at a place that anybody has given."""
    found = _span_at(checked(given)).get_span_context()
    return (found.trace_id, found.span_id) if found.is_valid else None


def trace_of(name: str) -> int:
    """The id of the trace of whatever goes by this name, where nobody has begun one."""
    return int.from_bytes(hashlib.sha256(f"griot\0{name}".encode()).digest()[:16], "big")


@contextmanager
def choosing(trace_id: int | None, span_id: int | None = None) -> Iterator[None]:
    """Have a root that is made in the block get this trace id, and a span this id."""
    token = chosen_ids.set((trace_id, span_id))
    try:
        yield
    finally:
        chosen_ids.reset(token)


def trace_id(span: Span | None = None) -> str | None:
    """The id of the trace where this code is, or of a span's: 32 hex digits."""
    found = (span or trace.get_current_span()).get_span_context()
    return trace.format_trace_id(found.trace_id) if found.is_valid else None


def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    within: Carrier | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> AbstractContextManager[Span]:
    """A span around the block: at the place `within` (default: where this code is), or else the
    root of a trace. What has an error ends as one, by its class."""
    return _spanned(name, kind, within, attributes) if is_on() else _NO_SPAN


def _tracer() -> Tracer:
    return _tracer_of(trace.get_tracer_provider())


@lru_cache(maxsize=1)
def _tracer_of(provider: TracerProvider) -> Tracer:
    # The SDK makes a new one each time it is asked: a fifth of what a span costs.
    return provider.get_tracer(_NAME)


@contextmanager
def _spanned(
    name: str,
    kind: SpanKind,
    within: Carrier | None,
    attributes: Mapping[str, AttributeValue] | None,
) -> Iterator[Span]:
    parent = None if within is None else _context_at(within)
    made = _tracer().start_span(name, parent, kind, attributes)
    token = contexts.attach(trace.set_span_in_context(made))
    try:
        yield made
    except BaseException as exc:
        note_error(made, type(exc).__name__)
        raise
    finally:
        contexts.detach(token)
        made.end()


def child(
    name: str,
    attributes: Mapping[str, AttributeValue] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
) -> AbstractContextManager[Span]:
    """`span`, but none where this code is in no trace."""
    return span(name, kind=kind, attributes=attributes) if is_traced() else _NO_SPAN


def begun(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    within: Carrier | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: Sequence[Carrier] = (),
    start_ns: int | None = None,
) -> Span:
    """A span that the caller ends, at the place `within`; default: where this code is, none where
    that is in no trace. With an empty `within` it is the root of a trace."""
    if within is None and not is_traced():
        return INVALID_SPAN
    parent = None if within is None else _context_at(within)
    linked = [Link(_span_at(one).get_span_context()) for one in links]
    return _tracer().start_span(name, parent, kind, attributes, linked, start_ns)


def is_traced() -> bool:
    """Whether this code is in a trace."""
    span = trace.get_current_span()
    return span is not INVALID_SPAN and span.get_span_context().is_valid


def note(span: Span, attributes: Facts) -> None:
    """Give a span those of these attributes that are known."""
    if span.is_recording():
        span.set_attributes({name: one for name, one in attributes.items() if one is not None})


def note_error(span: Span, kind: str) -> None:
    """Mark a span as one of an error of this class."""
    if span.is_recording():
        span.set_attribute("error.type", kind)
        span.set_status(StatusCode.ERROR)


def at(place: Carrier) -> AbstractContextManager[object]:
    """Have this code be at a place of a trace; where that is none, in no trace."""
    return _attached(place) if place or is_traced() else _NO_SPAN


@contextmanager
def _attached(place: Carrier) -> Iterator[None]:
    token = contexts.attach(_context_at(place))
    try:
        yield
    finally:
        contexts.detach(token)


def enter(span: Span) -> object:
    """Have this code be within a span until `leave` is given the answer."""
    return contexts.attach(trace.set_span_in_context(span))


def leave(token: object) -> None:
    """End what `enter` began, in the same task."""
    contexts.detach(token)  # type: ignore[arg-type]  # it is what `attach` gave


def link_to(place: object) -> None:
    """Link the span where this code is to a place of another trace that anybody has given."""
    current = trace.get_current_span()
    if not current.is_recording():
        return
    other = _span_at(checked(place)).get_span_context()
    if other.is_valid and other.trace_id != current.get_span_context().trace_id:
        current.add_link(other)


def _span_at(place: Carrier) -> Span:
    return trace.get_current_span(_context_at(place))


def _context_at(place: Carrier) -> Context:
    return _W3C.extract(place, Context()) if place else Context()

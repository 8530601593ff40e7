"""The spans that a collector has got, and those that this process makes as a service with an SDK of
its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Packed
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.util._once import Once

from sandbox.collector import PATH, Collector


@dataclass(frozen=True, slots=True)
class Got:
    """A span as it came. Ids are hex, times Unix nanoseconds."""

    name: str
    service: str
    trace: str
    id: str
    parent: str
    began_ns: int
    ended_ns: int
    is_error: bool
    attributes: dict[str, object] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """The traces that it links to."""


def spans(collector: Collector) -> list[Got]:
    """All spans that have come, in the order of their beginnings, the outer before the inner."""
    found: list[Got] = []
    for body in list(collector.bodies):
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = str(_values(resource.resource.attributes).get("service.name"))
            found += [_got(one, service) for scope in resource.scope_spans for one in scope.spans]
    return sorted(found, key=lambda one: (one.began_ns, -one.ended_ns))


def trace_of(collector: Collector, job_id: str) -> list[Got]:
    """The spans of the trace of a job."""
    found = spans(collector)
    mine = {one.trace for one in found if one.attributes.get("griot.job.id") == job_id}
    return [one for one in found if one.trace in mine]


def named(found: Sequence[Got], begin: str) -> list[Got]:
    """Those whose names begin so."""
    return [one for one in found if one.name.startswith(begin)]


def assert_whole(found: Sequence[Got], *, outer: str = "") -> None:
    """One trace, and each span's parent is in it, or is the one that somebody else has made."""
    assert len({one.trace for one in found}) == 1, found
    known = {one.id for one in found} | {outer}
    assert [one for one in found if one.parent not in known and one.parent] == []
    roots = [one.name for one in found if not one.parent or one.parent == outer]
    assert len(roots) == 1, roots
    assert all(one.began_ns <= one.ended_ns for one in found), found


def _got(packed: Packed, service: str) -> Got:
    return Got(
        name=packed.name,
        service=service,
        trace=packed.trace_id.hex(),
        id=packed.span_id.hex(),
        parent=packed.parent_span_id.hex(),
        began_ns=packed.start_time_unix_nano,
        ended_ns=packed.end_time_unix_nano,
        is_error=packed.status.code == Status.STATUS_CODE_ERROR,
        attributes=_values(packed.attributes),
        events=tuple(one.name for one in packed.events),
        links=tuple(one.trace_id.hex() for one in packed.links),
    )


def _values(attributes: Sequence[KeyValue]) -> dict[str, object]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return None if kind is None else getattr(value, kind)


@contextmanager
def service(collector: Collector, name: str = "shop") -> Iterator[None]:
    """This process is a service with an SDK of its own, while the block runs."""
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    exporter = OTLPSpanExporter(endpoint=collector.url + PATH)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with as_provider(provider):
        yield
    provider.shutdown()


@contextmanager
def as_provider(provider: TracerProvider) -> Iterator[None]:
    """Have this provider make the spans of this process, while the block runs."""
    # OpenTelemetry means it to be set once for ever; it has nothing for tests.
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        trace._TRACER_PROVIDER = None
        trace._TRACER_PROVIDER_SET_ONCE = Once()

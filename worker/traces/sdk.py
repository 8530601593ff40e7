"""OpenTelemetry's SDK in a process of ours: the one module that needs that package."""

import os
from collections.abc import Callable
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.util.types import AttributeValue

from telemetry.tracing import chosen_ids
from worker.traces.settings import is_named


class ChosenIds(RandomIdGenerator):
    """Ids by chance, but for those that `telemetry.tracing.choosing` gives."""

    def generate_trace_id(self) -> int:
        """The id of a new trace."""
        return chosen_ids.get()[0] or super().generate_trace_id()

    def generate_span_id(self) -> int:
        """The id of a new span."""
        return chosen_ids.get()[1] or super().generate_span_id()

    def is_trace_id_random(self) -> bool:
        """Some are not, and which is not told apart."""
        return False


def install(name: str) -> Callable[[], None]:
    """Send the spans of this process to its collector; what sends the last ones, and blocks.

    Sampler, bounds, address and headers are those of OpenTelemetry's variables; `name` is the
    service's, where OTEL_SERVICE_NAME gives none.
    """
    own: dict[str, AttributeValue] = {
        "service.version": version("griot"),
        "process.pid": os.getpid(),
    }
    if not is_named():
        own["service.name"] = name
    provider = TracerProvider(
        resource=Resource.create(own), id_generator=ChosenIds(), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown

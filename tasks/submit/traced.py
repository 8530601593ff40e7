"""Sending as a span: the first of a job's trace, or a part of the trace of whoever sends."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.trace import SpanKind

from memory.ids import shown_id
from telemetry import tracing


def sending(agent_id: str, job_id: str) -> AbstractContextManager[dict[str, str] | None]:
    """The span of a job that is sent within the block: the place in its trace that the job takes
    along, None where there is no trace."""
    return _traced(agent_id, job_id) if tracing.is_on() else nullcontext(_place())


@contextmanager
def _traced(agent_id: str, job_id: str) -> Iterator[dict[str, str] | None]:
    with tracing.span("send chat", kind=SpanKind.PRODUCER) as span:
        if span.is_recording():
            named = {"gen_ai.agent.name": shown_id(agent_id), "griot.job.id": shown_id(job_id)}
            kind = {"messaging.system": "griot", "messaging.operation.type": "send"}
            tracing.note(span, {**kind, "messaging.destination.name": "chat", **named})
        yield _place()


def _place() -> dict[str, str] | None:
    return dict(tracing.carrier()) or None

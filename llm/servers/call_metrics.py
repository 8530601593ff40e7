"""What a call of a model took, as metrics (docs/metrics.md) and as a span."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from llm.servers.call_span import CallSpan
from llm.wire.models import full_name
from llm.wire.records import Delta, Final
from llm.wire.requests import ChatRequest
from telemetry.labels import MODELS, SERVERS
from telemetry.metrics import CHUNK, FIRST_CHUNK, MODEL_CALL, SERVER_CHOICES, TOKENS_USED

STOPPED = "cancelled"
"""What `error_type` says of a call that its reader has left."""


class CallMeasure:
    """Measures one call of one server."""

    def __init__(self, server: str, model: str, request: ChatRequest) -> None:
        labels = (MODELS.label(model), SERVERS.label(server))
        self._labels = labels
        self._first, self._chunk = FIRST_CHUNK.labels(*labels), CHUNK.labels(*labels)
        self._began_s = time.monotonic()
        self._last_s: float | None = None
        self._span = CallSpan(server, request)

    def heard(self, record: Delta | Final) -> None:
        """A piece of the reply has come, or its last record."""
        now_s, last_s = time.monotonic(), self._last_s
        self._last_s = now_s
        self._span.heard(record, is_first=last_s is None)
        if isinstance(record, Final):
            TOKENS_USED.labels("input", self._labels[0]).observe(record.prompt_tokens)
            TOKENS_USED.labels("output", self._labels[0]).observe(record.completion_tokens)
        elif last_s is None:
            self._first.observe(now_s - self._began_s)
        else:
            self._chunk.observe(now_s - last_s)

    def ended(self, error: str = "") -> None:
        """The call is over; `error` is the class of what has ended it, or ""."""
        took_s = time.monotonic() - self._began_s
        MODEL_CALL.labels("chat", *self._labels, error).observe(took_s)
        self._span.ended(error)


@contextmanager
def measured_call(server: str, request: ChatRequest) -> Iterator[CallMeasure]:
    """Measure the call that is made within the block; `server` is its label."""
    model = full_name(request.model)
    measure = CallMeasure(server, model, request)
    SERVER_CHOICES.labels(SERVERS.label(server), MODELS.label(model)).inc()
    error = STOPPED
    try:
        yield measure
        error = ""
    except Exception as exc:
        error = type(exc).__name__
        raise
    finally:
        measure.ended(error)

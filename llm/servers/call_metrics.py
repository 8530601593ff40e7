"""What a call of a model took, as metrics (docs/metrics.md) and as a span."""

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Self

from llm.servers.call_span import CallSpan
from llm.wire.models import full_name
from llm.wire.records import Delta, Final
from llm.wire.requests import ChatRequest
from telemetry.labels import MODELS, SERVERS
from telemetry.metrics import CHUNK, FIRST_CHUNK, MODEL_CALL, SERVER_CHOICES, TOKENS_USED
from telemetry.series import Amounts, Count

STOPPED = "cancelled"
"""What `error_type` says of a call that its reader has left."""


GAPS_AT_ONCE = 100
"""So many times between chunks are kept of a call before they are counted."""


class _Series(NamedTuple):
    """The series of a model at a server."""

    labels: tuple[str, str]
    first: Amounts
    chunk: Amounts
    prompt_tokens: Amounts
    reply_tokens: Amounts
    choices: Count


@lru_cache(maxsize=256)
def _series_of(server: str, name: str) -> _Series:
    # Finding a series by its labels costs as much as ten additions to it.
    labels = model, at = MODELS.label(name), SERVERS.label(server)
    prompt, reply = (TOKENS_USED.labels(kind, model) for kind in ("input", "output"))
    choices = SERVER_CHOICES.labels(at, model)
    first, chunk = FIRST_CHUNK.labels(*labels), CHUNK.labels(*labels)
    return _Series(labels, first, chunk, prompt, reply, choices)


class CallMeasure:
    """Measures one call of one server, from its making to the end of its `with` block."""

    def __init__(self, server: str, request: ChatRequest) -> None:
        """`server` is its label."""
        self._series = _series_of(server, full_name(request.model))
        self._series.choices.inc()
        self._began_s = time.monotonic()
        self._last_s: float | None = None
        self._gaps_s: list[float] = []
        self._span = CallSpan(server, request)

    def heard(self, records: Sequence[Delta | Final]) -> None:
        """A chunk of the reply has come, or its last record."""
        now_s, last_s = time.monotonic(), self._last_s
        self._last_s = now_s
        if self._span.is_recorded:
            self._span.heard(records, is_first=last_s is None)
        if isinstance(final := records[-1], Final):
            self._series.prompt_tokens.observe(final.prompt_tokens)
            self._series.reply_tokens.observe(final.completion_tokens)
        elif last_s is None:
            self._series.first.observe(now_s - self._began_s)
        else:
            self._gaps_s.append(now_s - last_s)
            if len(self._gaps_s) >= GAPS_AT_ONCE:
                self._count_gaps()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        error = "" if kind is None else kind.__name__ if issubclass(kind, Exception) else STOPPED
        took_s = time.monotonic() - self._began_s
        MODEL_CALL.labels("chat", *self._series.labels, error).observe(took_s)
        if self._gaps_s:
            self._count_gaps()
        self._span.ended(error)

    def _count_gaps(self) -> None:
        self._series.chunk.observe_all(self._gaps_s)
        self._gaps_s.clear()

"""A call of a model as a span, `chat` of OpenTelemetry's conventions for generative AI.

It is not the current one while the call is read: its reader goes on elsewhere between two pieces.
"""

from collections.abc import Sequence

import orjson
from opentelemetry.trace import SpanKind

from llm.wire.records import Delta, Final
from llm.wire.requests import ChatRequest, Message
from telemetry import tracing
from telemetry.settings import captures_content

FIRST = "first token"
"""The event of a span at which the reply begins."""


class CallSpan:
    """The span of one call of one server, where the code that calls it is in a trace."""

    def __init__(self, server: str, request: ChatRequest) -> None:
        kind = "chat" if request.messages else "load"
        self._span = tracing.begun(f"{kind} {request.model}", kind=SpanKind.CLIENT)
        self.is_recorded = self._span.is_recording()
        self._holds_words = self.is_recorded and captures_content()
        self._said: list[str] = []
        if not self.is_recorded:
            return
        host, _, port = server.rpartition(":")
        facts: tracing.Facts = {
            "gen_ai.operation.name": kind,
            "gen_ai.provider.name": "ollama",
            "gen_ai.request.model": request.model,
            "gen_ai.request.temperature": request.temperature,
            "gen_ai.request.max_tokens": request.max_tokens,
            "server.address": host or server,
            "server.port": int(port) if port.isdigit() else None,
        }
        tracing.note(self._span, facts)
        if self._holds_words:
            messages = [_read(one) for one in request.messages]
            tracing.note(self._span, {"gen_ai.input.messages": _as_parts(messages)})

    def heard(self, records: Sequence[Delta | Final], *, is_first: bool) -> None:
        """A chunk of the reply has come, or its last record."""
        if isinstance(final := records[-1], Final):
            known: tracing.Facts = {
                "gen_ai.response.model": final.model,
                "gen_ai.response.finish_reasons": [final.done_reason],
                "gen_ai.usage.input_tokens": final.prompt_tokens,
                "gen_ai.usage.output_tokens": final.completion_tokens,
            }
            tracing.note(self._span, known)
        elif is_first:
            self._span.add_event(FIRST)
        if self._holds_words:
            self._said += [one.text for one in records if isinstance(one, Delta)]

    def ended(self, error: str) -> None:
        """The call is over; `error` is the class of what has ended it, or ""."""
        if error:
            tracing.note_error(self._span, error)
        if self._holds_words:
            reply = [("assistant", "".join(self._said))]
            tracing.note(self._span, {"gen_ai.output.messages": _as_parts(reply)})
        self._span.end()


def _read(message: Message) -> tuple[object, object]:
    known = orjson.loads(message) if isinstance(message, bytes) else message
    return known.get("role"), known.get("content")


def _as_parts(messages: Sequence[tuple[object, object]]) -> str:
    """Messages as the conventions write them, in one text; the rest of a long one is left out."""
    shown = [
        {"role": role, "parts": [{"type": "text", "content": content}]}
        for role, content in messages
    ]
    return tracing.bounded(orjson.dumps(shown, default=str).decode())

"""A call of a tool as a span, `execute_tool` of OpenTelemetry's conventions."""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from opentelemetry.trace import Span

from agents.tool_function import Outcome
from llm import ToolCall
from telemetry import tracing
from telemetry.settings import captures_content

FAILED = "tool_error"


class ToolSpan:
    """The span of one call; it holds what was said only where the operator has asked for that."""

    def __init__(self, span: Span, call: ToolCall) -> None:
        self._span = span
        self._holds_words = span.is_recording() and captures_content()
        if self._holds_words:
            arguments = orjson.dumps(dict(call.arguments), default=str).decode()
            tracing.note(span, {"gen_ai.tool.call.arguments": tracing.bounded(arguments)})

    def ended(self, outcome: Outcome) -> None:
        """The tool has answered."""
        if outcome.is_error:
            tracing.note_error(self._span, FAILED)
        if self._holds_words:
            tracing.note(
                self._span, {"gen_ai.tool.call.result": tracing.bounded(str(outcome.content))}
            )


@contextmanager
def traced_tool(name: str, call: ToolCall) -> Iterator[ToolSpan]:
    """The span of the call that is made within the block, where that is in a trace."""
    facts = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
    with tracing.child(f"execute_tool {name}", {**facts, "gen_ai.tool.type": "function"}) as span:
        yield ToolSpan(span, call)

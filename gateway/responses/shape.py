"""The objects that OpenAI's clients read: a response, its items and its usage. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import JsonValue

from gateway.failures import failure_for
from gateway.responses.record import ResponseRecord
from memory import Event, EventType

Item = dict[str, object]
ERASED: Mapping[str, object] = {"code": "server_error", "message": "the session was erased"}
"""The error of a response whose session was erased."""
Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
SERVER_LABEL = "griot"
"""Whose tools those of the agents are, as OpenAI says it: those of a server, which runs them."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a response from the beginning: its job, session and request."""

    response_id: str
    agent_id: str
    conversation: str
    record: ResponseRecord = field(repr=False)

    def begun_at(self, cursor: str) -> "Known":
        """The same, created when its first event came, where nothing else says when: a job of
        another sender has no record."""
        if self.record.created_at or not cursor:
            return self
        record = self.record.model_copy(update={"created_at": _moment_of(cursor)})
        return replace(self, record=record)

    def response(
        self,
        status: Status,
        output: Sequence[Item] = (),
        end: Event | None = None,
        *,
        error: Mapping[str, object] | None = None,
        why_incomplete: str | None = None,
    ) -> dict[str, object]:
        """The response, as its last event (`end`) has left it, or without one."""
        data: Mapping[str, JsonValue] = {} if end is None else end.data
        is_whole = status == "completed" and end is not None and end.cursor
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": self.record.created_at,
            "completed_at": _moment_of(end.cursor) if is_whole and end is not None else None,
            "status": status,
            "error": error,
            "incomplete_details": {"reason": why_incomplete} if why_incomplete else None,
            "output": list(output),
            "usage": usage_of(data),
            **self._asked(),
            "griot": self._griot(end, data),
        }

    def _asked(self) -> dict[str, object]:
        """What was asked for."""
        asked = self.record
        return {
            "model": asked.model or self.agent_id,
            "background": asked.background,
            "conversation": {"id": asked.conversation} if asked.conversation else None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "metadata": asked.metadata,
            "parallel_tool_calls": asked.parallel_tool_calls,
            "previous_response_id": asked.previous_response_id,
            "reasoning": asked.reasoning or {"effort": None, "summary": None},
            "service_tier": "default",
            "store": asked.store,
            "temperature": asked.temperature,
            "text": asked.text or {"format": {"type": "text"}},
            "tool_choice": asked.tool_choice or "auto",
            "tools": [_tool(tool) for tool in asked.tools or ()],
            "top_p": asked.top_p,
            "truncation": "auto",
            "user": asked.user,
        }

    def _griot(self, end: Event | None, data: Mapping[str, JsonValue]) -> dict[str, object]:
        """What only Griot says: where the response belongs, and how it came about."""
        names = ("model", "done_reason", "receipt", "timings", "empty")
        facts = {name: data[name] for name in names if name in data}
        attempt = {} if end is None else {"attempt": end.attempt}
        due = self.record.not_before
        later = {} if due is None else {"not_before": due}
        names_of = {"agent_id": self.agent_id, "session_id": self.conversation}
        return {**names_of, **later, **attempt, **facts}


def usage_of(data: Mapping[str, JsonValue]) -> dict[str, object] | None:
    """The tokens of a turn, from the data of its last event; None where there are none."""
    match data.get("usage"):
        case {"prompt_tokens": int(prompt), "completion_tokens": int(reply)}:
            return {
                "input_tokens": prompt,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": reply,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": prompt + reply,
            }
    return None


def message_item(item_id: str, text: str, status: str) -> Item:
    """What the model says."""
    content = [text_part(text)] if text or status == "completed" else []
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def text_part(text: str) -> dict[str, object]:
    """A text of the model."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def reasoning_item(item_id: str, text: str, status: str) -> Item:
    """What the model thinks before it answers."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    return {
        "id": item_id, "type": "reasoning", "summary": [], "content": content, "status": status,
    }  # fmt: skip


def tool_item(item_id: str, name: str, arguments: str, status: str) -> Item:
    """A call of one of the agent's tools, which Griot runs."""
    return {
        "id": item_id,
        "type": "mcp_call",
        "server_label": SERVER_LABEL,
        "name": name,
        "arguments": arguments,
        "output": None,
        "error": None,
        "status": status,
    }


def failure_of(end: Event) -> dict[str, object]:
    """Why a response has failed."""
    if end.type is EventType.ERASED:
        return {**ERASED}
    return failure_for(end.data)._asdict()


def _tool(tool: JsonValue) -> JsonValue:
    """A tool as OpenAI's clients read it: one that is named is the agent's own."""
    if isinstance(tool, str):
        return {"type": "mcp", "server_label": SERVER_LABEL, "allowed_tools": [tool]}
    if isinstance(tool, dict) and tool.get("type") == "function":
        return {"parameters": None, "strict": None, **tool}
    return tool


def _moment_of(cursor: str) -> float:
    return int(cursor.partition("-")[0]) / 1000

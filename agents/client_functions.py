"""Functions that whoever asks runs itself: the model may call them, and the turn ends there. Pure.

docs/decisions.md, "A call of a client's function ends the turn".
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from agents.tool_schema import written_out
from agents.tool_words import in_words
from llm import ToolCall

Message = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ClientFunction:
    """A function of a job: how the model is told of it, and what its arguments must fit (None:
    they are handed on as they come)."""

    name: str
    definition: Mapping[str, JsonValue] = field(repr=False)
    arguments_fit: Mapping[str, JsonValue] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        name: str,
        *,
        description: str | None = None,
        parameters: Mapping[str, JsonValue] | None = None,
        is_strict: bool = False,
    ) -> "ClientFunction":
        """The function with these parameters, a JSON Schema whose references are all within it and
        not recursive; what Ollama would drop of it is said in words."""
        schema = {"properties": {}, **in_words(written_out(parameters or {})), "type": "object"}
        function: dict[str, JsonValue] = {"name": name, "description": description or ""}
        function["parameters"] = schema
        definition: dict[str, JsonValue] = {"type": "function", "function": function}
        return cls(name, definition, (parameters or {}) if is_strict else None)


@dataclass(frozen=True, slots=True)
class ClientCalls:
    """The calls with which a turn has ended, each under an id of its own, and what was said with
    them."""

    text: str = field(repr=False)
    calls: Sequence[ToolCall]


def identified(call: ToolCall) -> ToolCall:
    """The same call under an id that no other has: servers number theirs, or give none."""
    return ToolCall(call.name, call.arguments, f"call_{secrets.token_hex(12)}")


def last_turn(messages: Sequence[Message]) -> tuple[Sequence[Message], Sequence[Message]]:
    """Messages of a history, and those from the last of a user on: what a turn that begins with
    results of functions goes on with. The second is empty where no user has asked."""
    users = (at for at in range(len(messages) - 1, -1, -1) if messages[at].get("role") == "user")
    begin = next(users, len(messages))
    return messages[:begin], messages[begin:]

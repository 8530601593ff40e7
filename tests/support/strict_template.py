"""What the strictest chat templates, and Go's decoder before them, demand of a prompt. Pure.

It is written from what templates of Mistral, Gemma and Llama raise, and from Ollama's api/types.go;
it shares no code with the product. tests/model holds it against a real server.
"""

import base64
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, field_validator


class _Function(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    name: str
    arguments: dict[str, object]


class _Call(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    id: str = ""
    function: _Function


class GoMessage(BaseModel):
    """A message as Go's decoder in Ollama takes it (api/types.go)."""

    model_config = ConfigDict(strict=True, extra="forbid")
    role: str
    content: str
    images: list[str] | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None

    @field_validator("images")
    @classmethod
    def _are_base64(cls, images: list[str] | None) -> list[str] | None:
        for image in images or ():
            base64.b64decode(image, validate=True)
        return images


def assert_strict(
    messages: Sequence[object], *, takes_tools: bool = True, takes_system: bool = True
) -> None:
    """Fail unless every template takes these messages.

    A system message only in front; then user and assistant in turns, the user first and last; a
    call of a tool behind the user or other results, with exactly its results behind it, by id and
    name. No assistant's message is empty. Without `takes_tools` there are no calls and results.
    """
    read = [GoMessage.model_validate(message) for message in messages]
    talk = read[1:] if read and read[0].role == "system" else read
    assert takes_system or len(talk) == len(read), "it takes no system prompt"
    assert len(talk) == len(read) or read[0].content.strip(), "an empty system prompt"
    assert all(one.role != "system" for one in talk), "a system message inside"
    before, waiting = "", list[_Call]()
    for one in talk:
        before, waiting = _next(before, one, waiting)
        assert takes_tools or not (one.tool_calls or one.role == "tool"), "it knows no tools"
    assert not waiting, "a call without its result"
    assert before in ("user", "tool"), "nobody has asked"


def _next(before: str, one: GoMessage, waiting: list[_Call]) -> tuple[str, list[_Call]]:
    """The state behind one message: who spoke, and which calls wait for their results."""
    if waiting:
        assert one.role == "tool", "a call without its result"
        call = waiting[0]
        assert (one.tool_name, one.tool_call_id or "") == (call.function.name, call.id)
        return "tool", waiting[1:]
    match one.role:
        case "user":
            assert before in ("", "assistant"), "two users in a row"
        case "assistant":
            assert before in ("user", "tool"), "an assistant out of turn"
            assert one.content.strip() or one.tool_calls, "an empty assistant"
            return "assistant", list(one.tool_calls or ())
        case other:
            raise AssertionError(f"a message of {other} out of turn")
    return "user", []


def roles_of(messages: Sequence[object]) -> list[str]:
    """Who speaks, in order."""
    return [str(one["role"]) for one in messages if isinstance(one, Mapping)]

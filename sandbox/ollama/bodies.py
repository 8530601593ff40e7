"""Request bodies read as Go's decoder reads them. Pure: bytes in, `ModelRequest` out.

Field names match case-insensitively, unknown fields and bytes after the first JSON value are
ignored, null means absent (docs/ollama.md, Transport and Requests). Refused carries Go's words.
"""

import json
from dataclasses import dataclass, field
from typing import TypeVar

from sandbox.ollama import gojson, gotime
from sandbox.ollama.errors import BadDuration, Refused
from sandbox.ollama.gojson import JsonObject, JsonValue

Messages = tuple[JsonObject, ...]
_T = TypeVar("_T")

_GO_TYPES: dict[type, str] = {str: "string", bool: "bool", list: "array", dict: "object"}
_NO_ITEMS: list[JsonValue] = []
_NO_MEMBERS: JsonObject = {}
_decode = json.JSONDecoder().raw_decode
_PLAIN_ROLES = ("system", "user", "assistant")  # a tuple: a role may be unhashable
_THINK_LEVELS = {"low", "medium", "high", "max"}


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request to /api/chat or /api/generate, decoded."""

    model: str
    messages: Messages = ()
    """As sent, keys and roles in lower case; the prompt of /api/generate as a user message."""
    options: JsonObject = field(default_factory=dict)
    stream: bool = True
    response_format: JsonValue = None
    keep_alive_s: float | None = None
    """None leaves the model's time as it is; 0 unloads it; FOR_EVER_S for a negative one."""
    think: bool | str | None = None
    has_tools: bool = False
    tool_name: str = ""
    """The first tool's, as are its parameters."""
    tool_parameters: JsonObject = field(default_factory=dict)
    truncate: bool = True
    shift: bool = True


def read_object(body: bytes, struct: str) -> JsonObject:
    """The JSON object at the start of `body`, keys in lower case; `struct` is its name in Go."""
    text = body.decode(errors="replace").lstrip()
    if not text:
        raise Refused(400, "missing request body")
    try:
        value, _ = _decode(text)
    except json.JSONDecodeError as exc:
        raise Refused(400, _syntax_error(text, exc.pos)) from exc
    if not isinstance(value, dict):
        kind = _GO_TYPES.get(type(value), "number")
        raise Refused(400, f"json: cannot unmarshal {kind} into Go value of type api.{struct}")
    return {key.lower(): member for key, member in value.items()}


def _syntax_error(text: str, position: int) -> str:
    if position >= len(text) or text[position:].startswith('"'):
        return "unexpected EOF"
    return f"invalid character '{text[position]}' looking for beginning of value"


def read_chat(body: bytes) -> ModelRequest:
    """A body of POST /api/chat."""
    fields = _Fields(read_object(body, "ChatRequest"), "ChatRequest")
    messages = tuple(_message(item) for item in fields.get("messages", _NO_ITEMS, "[]api.Message"))
    return _asked(fields, messages)


def read_generate(body: bytes) -> ModelRequest:
    """A body of POST /api/generate; system and prompt become messages."""
    fields = _Fields(read_object(body, "GenerateRequest"), "GenerateRequest")
    messages: Messages = ()
    if prompt := fields.get("prompt", ""):
        messages = ({"role": "user", "content": prompt},)
        if system := fields.get("system", ""):
            messages = ({"role": "system", "content": system}, *messages)
    return _asked(fields, messages)


def _asked(fields: "_Fields", messages: Messages) -> ModelRequest:
    top_logprobs = fields.members.get("top_logprobs")
    if isinstance(top_logprobs, int) and not 0 <= top_logprobs <= 20:
        raise Refused(400, "top_logprobs must be between 0 and 20")
    tools = fields.get("tools", _NO_ITEMS, "api.Tools")
    name, parameters = _first_tool(tools)
    return ModelRequest(
        model=fields.get("model", ""),
        messages=messages,
        options=fields.get("options", _NO_MEMBERS, "map[string]interface {}"),
        stream=fields.get("stream", True),
        response_format=fields.members.get("format"),
        keep_alive_s=keep_alive_s(fields.members.get("keep_alive")),
        think=_think(fields.members.get("think")),
        has_tools=bool(tools),
        tool_name=name,
        tool_parameters=parameters,
        truncate=fields.get("truncate", True),
        shift=fields.get("shift", True),
    )


def keep_alive_s(value: JsonValue) -> float | None:
    """Seconds that a model stays loaded; a number means seconds, negative means for ever."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        kind = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}[type(value)]
        raise Refused(400, f"Unsupported type: '{kind}'")
    try:
        seconds = gotime.duration_s(value) if isinstance(value, str) else float(value)
    except BadDuration as exc:
        raise Refused(400, str(exc)) from exc
    return gotime.FOR_EVER_S if seconds < 0 else seconds


def _think(value: JsonValue) -> bool | str | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _THINK_LEVELS:
        return value
    allowed = '"high", "medium", "low", "max", true, or false'
    raise Refused(400, f"invalid think value: {gojson.encode(value)} (must be {allowed})")


def _message(item: JsonValue) -> JsonObject:
    if not isinstance(item, dict):
        raise _mismatch(item, "ChatRequest.messages", "api.Message")
    role, content = item.get("role"), item.get("content")
    if len(item) == 2 and role in _PLAIN_ROLES and isinstance(content, str):
        return item  # by far the most frequent form
    message = {key.lower(): value for key, value in item.items() if value is not None}
    role, content = message.get("role", ""), message.get("content", "")
    if not isinstance(role, str):
        raise _mismatch(role, "ChatRequest.messages.role", "string")
    if not isinstance(content, str):
        raise _mismatch(content, "ChatRequest.messages.content", "string")
    return {**message, "role": role.lower()}


def _first_tool(tools: list[JsonValue]) -> tuple[str, JsonObject]:
    """The name and the parameters of the first tool that has a name."""
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            continue
        name, parameters = function.get("name"), function.get("parameters")
        if isinstance(name, str):
            return name, parameters if isinstance(parameters, dict) else {}
    return "", {}


def _mismatch(value: JsonValue, path: str, wanted: str) -> Refused:
    kind = _GO_TYPES.get(type(value), "number")
    return Refused(
        400, f"json: cannot unmarshal {kind} into Go struct field {path} of type {wanted}"
    )


@dataclass(frozen=True, slots=True)
class _Fields:
    """Typed access to a decoded object, with the complaints of Go's decoder."""

    members: JsonObject
    struct: str

    def get(self, name: str, default: _T, go_type: str = "") -> _T:
        """The member, `default` where it is absent or null; `go_type` is its type's name in Go."""
        value = self.members.get(name)
        if value is None:
            return default
        if not isinstance(value, type(default)):
            wanted = go_type or _GO_TYPES[type(default)]
            raise _mismatch(value, f"{self.struct}.{name}", wanted)
        return value

"""Request bodies read as Go's decoder reads them. Pure: bytes in, `ModelRequest` out.

Field names match case-insensitively, unknown fields and bytes after the first JSON value are
ignored, null means absent (docs/ollama.md, Transport and Requests). Refused carries Go's words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.ollama import gojson, gotime
from sandbox.ollama.errors import BadDuration, Refused
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.request import decoding
from sandbox.ollama.request.decoding import Check
from sandbox.ollama.request.messages import Messages, read_messages
from sandbox.ollama.request.tools import Tool, read_tools

_THINK_LEVELS = {"low", "medium", "high", "max"}
_THINK_VALUES = '"high", "medium", "low", "max", true, or false'
_FIELDS: Mapping[str, Check] = {
    "model": decoding.text,
    "stream": decoding.boolean,
    "truncate": decoding.boolean,
    "shift": decoding.boolean,
    "logprobs": decoding.boolean,
    "top_logprobs": decoding.integer,
    "options": decoding.free_object,
}
_GENERATE_FIELDS: Mapping[str, Check] = {"prompt": decoding.text, "system": decoding.text}


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
    tools: tuple[Tool, ...] = ()
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False


def read_chat(body: bytes) -> ModelRequest:
    """A body of POST /api/chat."""
    members = decoding.read_object(body, "ChatRequest")
    _check(members, "ChatRequest", _FIELDS)
    return _asked(members, read_messages(members.get("messages")))


def read_generate(body: bytes) -> ModelRequest:
    """A body of POST /api/generate; system and prompt become messages."""
    members = decoding.read_object(body, "GenerateRequest")
    _check(members, "GenerateRequest", {**_FIELDS, **_GENERATE_FIELDS})
    messages: Messages = ()
    if prompt := members.get("prompt"):
        messages = ({"role": "user", "content": prompt},)
        if system := members.get("system"):
            messages = ({"role": "system", "content": system}, *messages)
    return _asked(members, messages)


def _check(members: JsonObject, struct: str, fields: Mapping[str, Check]) -> None:
    for name, value in members.items():
        if (check := fields.get(name)) is not None:
            check(value, f"{struct}.{name}")


def _asked(members: JsonObject, messages: Messages) -> ModelRequest:
    tools = read_tools(members.get("tools"))
    keep_alive = keep_alive_s(members.get("keep_alive"))
    think = _think(members.get("think"))
    top_logprobs, options = members.get("top_logprobs", 0), members.get("options")
    if isinstance(top_logprobs, int) and not 0 <= top_logprobs <= 20:
        raise Refused(400, "top_logprobs must be between 0 and 20")
    return ModelRequest(
        model=str(members.get("model", "")),
        messages=messages,
        options=options if isinstance(options, dict) else {},
        stream=members.get("stream") is not False,
        response_format=members.get("format"),
        keep_alive_s=keep_alive,
        think=think,
        tools=tools,
        truncate=members.get("truncate") is not False,
        shift=members.get("shift") is not False,
        logprobs=members.get("logprobs") is True,
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
    if not isinstance(value, str):
        raise Refused(400, f"think must be a boolean or string ({_THINK_VALUES})")
    if value in _THINK_LEVELS:
        return value
    quoted = gojson.encode(value)
    raise Refused(400, f"invalid think value: {quoted} (must be {_THINK_VALUES})")

"""POST /v1/chat/completions, read: a body as OpenAI's clients write it, as one of /api/chat. Pure.

Ollama rewrites the request and hands it to the same handler, and so does this (docs/ollama.md,
OpenAI's routes). `max_completion_tokens`, `tool_choice`, `n`, `user` and the like are not read; a
client cannot set the window or the keep_alive. Refused carries Ollama's words.
"""

import json
from collections.abc import Iterator

from sandbox.ollama import gojson
from sandbox.ollama.errors import Refused
from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.request.bodies import ModelRequest, read_chat
from sandbox.ollama.request.decoding import read_object

_NAMES = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
"""Fields that become options."""

_DEFAULTS: JsonObject = {"temperature": 1.0, "top_p": 1.0}
"""OpenAI's defaults, which are not Ollama's own."""

_THINK: JsonObject = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}
_IMAGE_PREFIXES = tuple(f"data:{kind};base64," for kind in ("image/jpeg", "image/jpg", "image/png"))
_IMAGE_PREFIXES += ("data:image/webp;base64,", "data:;base64,")


def read_completion(body: bytes) -> tuple[ModelRequest, bool]:
    """The chat that `body` asks for, and whether its stream is to state the usage."""
    members = read_object(body, "ChatCompletionRequest")
    native: JsonObject = {
        "model": members.get("model"),
        "messages": list(_messages(members.get("messages"))),
        "stream": members.get("stream") or False,
        "format": _format(members.get("response_format")),
        "tools": members.get("tools"),
        "think": _think(members),
        "options": _options(members),
    }
    states_usage = _members(members.get("stream_options")).get("include_usage") is True
    return read_chat(gojson.encode(native).encode()), states_usage


def _options(members: JsonObject) -> JsonObject:
    given = {_NAMES[name]: value for name, value in members.items() if name in _NAMES}
    options = {**_DEFAULTS, **{name: value for name, value in given.items() if value is not None}}
    if isinstance(stop := options.get("stop"), str):
        options["stop"] = [stop]
    return options


def _format(wanted: JsonValue) -> JsonValue:
    kind = _members(wanted).get("type")
    if kind == "json_object":
        return "json"
    if kind == "json_schema":
        return _members(_members(wanted).get("json_schema")).get("schema")
    return None


def _think(members: JsonObject) -> JsonValue:
    effort = _members(members.get("reasoning")).get("effort") or members.get("reasoning_effort")
    if not effort:
        return None
    if not isinstance(effort, str) or effort not in _THINK:
        raise Refused(400, f"invalid reasoning value: {gojson.encode(effort)}")
    return _THINK[effort]


def _messages(sent: JsonValue) -> Iterator[JsonValue]:
    if not isinstance(sent, list) or not sent:
        raise Refused(400, "[] is too short - 'messages'")
    messages = [_members(message) for message in sent]
    for message in messages:
        yield from _said(message, _tool_names(messages))


def _said(message: JsonObject, tool_names: JsonObject) -> Iterator[JsonValue]:
    """One message; one for each part where the content comes in parts."""
    content, calls = message.get("content"), message.get("tool_calls")
    role: JsonObject = {"role": message.get("role")}
    if isinstance(content, list):
        for part in content:
            yield {**role, **_part(_members(part))}
        return
    if not isinstance(content, str) and not calls:
        kind = "<nil>" if content is None else type(content).__name__
        raise Refused(400, f"invalid message content type: {kind}")
    yield {
        **role,
        "content": content,
        "thinking": message.get("reasoning"),
        "tool_calls": [_call(call) for call in _list(calls)] or None,
        "tool_name": message.get("name") or tool_names.get(str(message.get("tool_call_id"))),
    }


def _part(part: JsonObject) -> JsonObject:
    if part.get("type") == "text" and isinstance(text := part.get("text"), str):
        return {"content": text}
    if part.get("type") != "image_url":
        raise Refused(400, "invalid message format")
    image = part.get("image_url")
    url = str(_members(image).get("url") or image)
    for prefix in _IMAGE_PREFIXES:
        if url.startswith(prefix):
            return {"images": [url.removeprefix(prefix)]}
    raise Refused(400, "invalid image input")


def _call(call: JsonValue) -> JsonValue:
    function = _members(_members(call).get("function"))
    try:
        arguments = json.loads(str(function.get("arguments")))
    except json.JSONDecodeError as exc:
        raise Refused(400, "invalid tool call arguments") from exc
    return {"function": {"name": function.get("name"), "arguments": arguments}}


def _tool_names(messages: list[JsonObject]) -> JsonObject:
    """The name of the tool that each call of the conversation called; of equal ids the last."""
    return {
        str(_members(call).get("id")): _members(_members(call).get("function")).get("name")
        for message in messages
        for call in _list(message.get("tool_calls"))
    }


def _members(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []

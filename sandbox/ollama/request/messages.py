"""The messages of a chat, checked as Go's decoder and Ollama's own types do. Pure."""

from sandbox.ollama.gojson import JsonObject, JsonValue
from sandbox.ollama.request import decoding
from sandbox.ollama.request.images import image

Messages = tuple[JsonObject, ...]

_PLAIN_ROLES = ("system", "user", "assistant")  # a tuple: a role may be unhashable

_function = decoding.struct(
    {
        "index": decoding.integer,
        "name": decoding.text,
        "arguments": decoding.ordered_object(decoding.anything),
    },
    "api.ToolCallFunction",
)
_call = decoding.struct({"id": decoding.text, "function": _function}, "api.ToolCall")
_message = decoding.struct(
    {
        "role": decoding.text,
        "content": decoding.text,
        "thinking": decoding.text,
        "images": decoding.sequence(image, "[]api.ImageData"),
        "tool_calls": decoding.sequence(_call, "[]api.ToolCall"),
        "tool_name": decoding.text,
        "tool_call_id": decoding.text,
    },
    "api.Alias",
)


def read_messages(value: JsonValue) -> Messages:
    """As sent, with keys and roles in lower case. Raises Refused (400)."""
    path = "ChatRequest.messages"
    if value is None:
        return ()
    if not isinstance(value, list):
        raise decoding.mismatch(value, path, "[]api.Message")
    return tuple(_read(item, path) for item in value)


def _read(item: JsonValue, path: str) -> JsonObject:
    if isinstance(item, dict) and len(item) == 2:
        role, content = item.get("role"), item.get("content")
        if role in _PLAIN_ROLES and isinstance(content, str):
            return item  # by far the most frequent form
    if item is None:
        return {"role": ""}
    _message(item, path)
    message = decoding.folded(item if isinstance(item, dict) else {})
    return {**message, "role": str(message.get("role", "")).lower()}

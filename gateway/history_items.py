"""Messages of a history, as the items of a conversation that OpenAI's clients read. Pure."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import orjson
from pydantic import JsonValue

Message: TypeAlias = Mapping[str, JsonValue]
Item: TypeAlias = dict[str, object]


def as_items(message: Message, item_id: str) -> list[Item]:
    """A message as items, what it says under `item_id`; none for what tools of an agent did."""
    if _is_of_tools(message):
        return []
    if message.get("role") == "tool":
        return [_output_item(message)]
    calls = [function_item(*call) for call in _calls(message)]
    says_something = bool(message.get("content") or message.get("images"))
    return [_message_item(message, item_id), *calls] if says_something or not calls else calls


def without_item(message: Message, own_id: str, item_id: str) -> Message | None:
    """A message, what it says being the item `own_id`, without one of its items; None where it has
    no other."""
    if len(as_items(message, own_id)) < 2:
        return None
    if item_id == own_id:
        return {name: message[name] for name in message if name != "images"} | {"content": ""}
    calls = _list(message.get("tool_calls"))
    return {**message, "tool_calls": [call for call in calls if _item_id(call) != item_id]}


def function_item(call_id: str, name: str, arguments: str, status: str = "completed") -> Item:
    """A call of a function that the client runs."""
    return {
        "id": f"fc_{call_id}",
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def arguments_text(arguments: object) -> str:
    """The arguments of a call as the text in which OpenAI has them."""
    return orjson.dumps(arguments).decode()


def _is_of_tools(message: Message) -> bool:
    """Whether a message is what a tool of an agent did. It has its job's id, as a reply has, which
    names its model besides; what clients send has neither."""
    is_call = message.get("role") == "tool" or bool(message.get("tool_calls"))
    return is_call and "job_id" in message and "model" not in message


def _calls(message: Message) -> list[tuple[str, str, str]]:
    found = []
    for call in _list(message.get("tool_calls")):
        match call:
            case {"id": str(call_id), "function": {"name": str(name), "arguments": arguments}}:
                found.append((call_id, name, arguments_text(arguments)))
    return found


def _item_id(call: JsonValue) -> str:
    return f"fc_{call.get('id')}" if isinstance(call, dict) else ""


def _output_item(message: Message) -> Item:
    call_id = str(message.get("tool_call_id") or "")
    return {
        "id": f"fco_{call_id}",
        "type": "function_call_output",
        "call_id": call_id,
        "output": str(message.get("content") or ""),
        "status": "completed",
    }


def _message_item(message: Message, item_id: str) -> Item:
    role = message.get("role")
    kind = "output_text" if role == "assistant" else "input_text"
    text: Item = {"type": kind, "text": str(message.get("content") or "")}
    if role == "assistant":
        text |= {"annotations": [], "logprobs": []}
    status = "incomplete" if message.get("cancelled") else "completed"
    return {
        "id": item_id,
        "type": "message",
        "role": role,
        "status": status,
        "content": [text, *_image_parts(_list(message.get("images")))],
    }


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _image_parts(images: Iterable[JsonValue]) -> list[Item]:
    return [
        {
            "type": "input_image",
            "detail": "auto",
            "file_id": None,
            "image_url": f"data:{_media_type(str(image))};base64,{image}",
        }
        for image in images
    ]


def _media_type(image: str) -> str:
    # The first bytes, as base64 has them.
    known = {"iVBORw0KGgo": "png", "/9j/": "jpeg", "R0lGOD": "gif", "UklGR": "webp", "Qk": "bmp"}
    found = (kind for head, kind in known.items() if image.startswith(head))
    return f"image/{next(found, 'png')}"

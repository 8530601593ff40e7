"""What clients say, as OpenAI has it, as messages of a history. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from gateway.errors import ApiError
from memory.records.foreign import arguments_in

SYSTEM_ROLES = ("system", "developer")
TEXT_PARTS = ("input_text", "output_text", "text")
IMAGE_PARTS = ("input_image", "image_url")
SKIPPED_ITEMS = ("reasoning", "mcp_call", "mcp_list_tools")
"""Items that a client may send back to us, and that no model is shown."""
MAX_CALL_ID_CHARS = 64

Message = dict[str, JsonValue]
Items = Sequence[Mapping[str, JsonValue]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a request brings: the message that is to be answered, and those before it.

    Without a text it goes on with results of functions, which are the last of `preceding`.
    `answered` are the calls that it has results of but does not have itself.
    """

    text: str
    images: list[str] = field(default_factory=list)
    preceding: list[Message] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)


def said(items: str | Items, *, param: str) -> Question:
    """What the input of a request says: its last user's message is what is to be answered, unless
    results of functions follow it. Raises ApiError for what no model could be shown."""
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    messages = messages_of(items, param)
    answered = _answered(messages)
    at = max((at for at, one in enumerate(messages) if one["role"] != "system"), default=-1)
    last, notes = messages[at] if at >= 0 else {}, messages[at + 1 :]
    if last.get("role") == "tool":
        return Question("", [], [*notes, *messages[: at + 1]], answered)
    if last.get("role") != "user":
        wrong = "The last message must be the user's, or the result of a function."
        raise ApiError(400, wrong, param=param)
    text, images = str(last["content"]), last.get("images")
    if not text:
        raise ApiError(400, "The user's message has no text.", param=param)
    shown = [str(one) for one in images] if isinstance(images, list) else []
    return Question(text, shown, [*messages[:at], *notes], answered)


def messages_of(items: Items, param: str) -> list[Message]:
    """Items as messages of a history; calls of functions in a row are one message. Raises
    ApiError."""
    messages: list[Message] = []
    for number, item in enumerate(items):
        if item.get("type") in SKIPPED_ITEMS:
            continue
        message = message_of(item, f"{param}[{number}]")
        calls, last = message.get("tool_calls"), messages[-1] if messages else {}
        if item.get("type") == "function_call" and last.get("role") == "assistant":
            had = last.get("tool_calls")
            last["tool_calls"] = [*(had if isinstance(had, list) else ()), *_list(calls)]
        else:
            messages.append(message)
    return messages


def message_of(item: Mapping[str, JsonValue], param: str) -> Message:
    """One item as a message of a history. Raises ApiError."""
    kind, role = item.get("type", "message"), item.get("role")
    if kind == "function_call":
        call = _call(item.get("call_id"), item.get("name"), item.get("arguments"), param)
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    if kind == "function_call_output":
        return _result(item.get("call_id"), item.get("output"), param)
    if kind != "message":
        raise ApiError(400, f"Items of the type {kind!r} are not supported.", param=param)
    if role == "tool":
        return _result(item.get("tool_call_id"), item.get("content"), param)
    if role not in (*SYSTEM_ROLES, "user", "assistant"):
        raise ApiError(400, f"A message cannot have the role {role!r}.", param=param)
    texts, images = _parts(item.get("content"), param)
    # A developer's message is a system's.
    message: Message = {
        "role": "system" if role in SYSTEM_ROLES else str(role),
        "content": "\n".join(texts),
    }
    if role == "assistant" and (calls := _list(item.get("tool_calls"))):
        message["tool_calls"] = [_called(call, param) for call in calls]
    return {**message, "images": [*images]} if images else message


def call_ids(message: Mapping[str, JsonValue]) -> list[str]:
    """The ids of the calls of a message."""
    calls = [call for call in _list(message.get("tool_calls")) if isinstance(call, dict)]
    return [str(call["id"]) for call in calls if call.get("id")]


def _answered(messages: Sequence[Message]) -> list[str]:
    """The calls whose results are among the messages, but not they themselves. Raises ApiError."""
    made: set[str] = set()
    missing: list[str] = []
    for message in messages:
        made.update(call_ids(message))
        if message["role"] == "tool" and (call_id := str(message["tool_call_id"])) not in made:
            missing.append(call_id)
    return missing


def _called(call: JsonValue, param: str) -> JsonValue:
    match call:
        case {"id": call_id, "function": {"name": name, "arguments": arguments}}:
            return _call(call_id, name, arguments, param)
    raise ApiError(400, "A tool call needs an id, and a function with arguments.", param=param)


def _call(call_id: JsonValue, name: JsonValue, arguments: JsonValue, param: str) -> JsonValue:
    read = arguments_in(arguments) if isinstance(arguments, str) else None
    if not isinstance(name, str) or not name or read is None:
        wrong = "A function call needs a name, and arguments that are the JSON of an object."
        raise ApiError(400, wrong, param=param)
    return {
        "id": _id(call_id, param),
        "function": {"name": name, "arguments": read},  # type: ignore[dict-item]  # it was read from JSON
    }


def _result(call_id: JsonValue, output: JsonValue, param: str) -> Message:
    texts, images = _parts(output, param)
    if images:
        raise ApiError(400, "The result of a function must be text.", param=param)
    return {"role": "tool", "content": "\n".join(texts), "tool_call_id": _id(call_id, param)}


def _id(call_id: JsonValue, param: str) -> str:
    if not isinstance(call_id, str) or not 1 <= len(call_id) <= MAX_CALL_ID_CHARS:
        wrong = f"A call's id has 1 to {MAX_CALL_ID_CHARS} characters."
        raise ApiError(400, wrong, param=param)
    return call_id


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _parts(content: JsonValue, param: str) -> tuple[list[str], list[str]]:
    """The texts and the images of a message's content."""
    if isinstance(content, str):
        return [content], []
    if content is None:
        return [], []
    if not isinstance(content, list):
        raise ApiError(400, "The content must be text, or a list of parts.", param=param)
    texts: list[str] = []
    images: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in TEXT_PARTS and isinstance(text := part.get("text"), str):  # type: ignore[union-attr]  # a dict
            texts.append(text)
        elif kind in IMAGE_PARTS:
            images.append(_image(part.get("image_url"), param))  # type: ignore[union-attr]  # a dict
        else:
            raise ApiError(400, f"Parts of the type {kind!r} are not supported.", param=param)
    return texts, images


def _image(url: JsonValue, param: str) -> str:
    """The base64 of an image that is given as a data: URL."""
    given = url.get("url") if isinstance(url, dict) else url
    head, comma, data = given.partition(",") if isinstance(given, str) else ("", "", "")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        raise ApiError(
            400,
            "Give an image as a data: URL with base64; the gateway fetches nothing.",
            param=param,
        )
    return data

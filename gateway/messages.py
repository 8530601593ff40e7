"""What clients say, as OpenAI has it, and as messages of a history. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from gateway.errors import ApiError

SYSTEM_ROLES = ("system", "developer")
TEXT_PARTS = ("input_text", "output_text", "text")
IMAGE_PARTS = ("input_image", "image_url")
SKIPPED_ITEMS = ("reasoning", "mcp_call", "mcp_list_tools")
"""Items that a client may send back to us, and that no model is shown."""

Message = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Question:
    """What a request brings: the message that is to be answered, and those before it."""

    text: str
    images: list[str] = field(default_factory=list)
    preceding: list[Message] = field(default_factory=list)


def said(items: str | Sequence[Mapping[str, JsonValue]], *, param: str) -> Question:
    """What the input of a request says; its last user's message is what is to be answered.

    Raises ApiError for what no model could be shown.
    """
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    messages = [
        message_of(item, f"{param}[{number}]")
        for number, item in enumerate(items)
        if item.get("type") not in SKIPPED_ITEMS
    ]
    at = max((at for at, one in enumerate(messages) if one["role"] == "user"), default=-1)
    rest = messages[at + 1 :]
    if at < 0 or any(one["role"] not in SYSTEM_ROLES for one in rest):
        raise ApiError(400, "The last message must be the user's.", param=param)
    question = messages[at]
    text, images = str(question["content"]), question.get("images")
    if not text:
        raise ApiError(400, "The user's message has no text.", param=param)
    shown = [str(one) for one in images] if isinstance(images, list) else []
    return Question(text, shown, [*messages[:at], *rest])


def message_of(item: Mapping[str, JsonValue], param: str) -> Message:
    """One item as a message of a history. Raises ApiError."""
    kind, role = item.get("type", "message"), item.get("role")
    if kind != "message":
        raise ApiError(400, f"Items of the type {kind!r} are not supported.", param=param)
    if role not in (*SYSTEM_ROLES, "user", "assistant"):
        raise ApiError(400, f"A message cannot have the role {role!r}.", param=param)
    texts, images = _parts(item.get("content"), param)
    # A developer's message is a system's.
    message: Message = {
        "role": "system" if role in SYSTEM_ROLES else str(role),
        "content": "\n".join(texts),
    }
    return {**message, "images": [*images]} if images else message


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


def as_item(message: Mapping[str, JsonValue], item_id: str) -> dict[str, object] | None:
    """A message of a history as an item of a conversation; None for what tools did."""
    role = message.get("role")
    if role not in ("user", "assistant", "system") or message.get("tool_calls"):
        return None
    kind = "output_text" if role == "assistant" else "input_text"
    text: dict[str, object] = {"type": kind, "text": str(message.get("content") or "")}
    if role == "assistant":
        text |= {"annotations": [], "logprobs": []}
    status = "incomplete" if message.get("cancelled") else "completed"
    images = message.get("images")
    return {
        "id": item_id,
        "type": "message",
        "role": role,
        "status": status,
        "content": [text, *_image_parts(images if isinstance(images, list) else ())],
    }


def _image_parts(images: Iterable[JsonValue]) -> list[dict[str, object]]:
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

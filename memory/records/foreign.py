"""Messages in the forms of other servers, brought into that of Ollama's /api/chat. Pure.

Programs that have talked to OpenAI keep arguments as text, content in parts and images as data
URIs. Ollama refuses each of these, and with it every later job of the session. What means the same
in Ollama's form is written so; what does not is left as it is, for `message.fault_of` to name.
docs/decisions.md, "A history is put right at the door".
"""

import base64
import binascii
from collections.abc import Mapping

import orjson

_ROLES = {"developer": "system", "function": "tool"}
_TEXT_PARTS = ("text", "input_text", "output_text")


def put_right(message: Mapping[str, object], *, leaves_out: bool = False) -> dict[str, object]:
    """The message with all that is known from other servers in Ollama's form.

    - a role in any case; `developer` is `system`, `function` is `tool`
    - `content` in parts: its texts joined with line ends, its images moved to `images`
    - `images` as one text, as data URIs, with line ends: base64 only
    - `tool_calls` with arguments as text, or ids that are numbers; `function_call`
    - `tool_call_id` as a number; the `name` of a tool's result

    With `leaves_out` parts that nobody knows are left out of a content; else they stay, and it too.
    """
    right = dict(message)
    if isinstance(role := right.get("role"), str):
        folded = role.strip().lower()
        right["role"] = _ROLES.get(folded, folded)
    if isinstance(right.get("content"), list):
        _join_parts(right, leaves_out=leaves_out)
    if "images" in right:
        right["images"] = _images(right["images"])
    if right.get("tool_calls") is not None:
        right["tool_calls"] = _calls(right["tool_calls"])
    elif isinstance(called := right.get("function_call"), Mapping):
        del right["function_call"]
        right["tool_calls"] = _calls([{"function": called}])
    if right.get("role") == "tool":
        _name_result(right)
    return right


def image_fault(image: str) -> str | None:
    """Why an image cannot be sent to Ollama; None where it can."""
    try:
        base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        is_address = image[:16].partition("://")[1]
        return "is a URL; it is not fetched" if is_address else "is not base64"
    return None if image else "is empty"


def _join_parts(message: dict[str, object], *, leaves_out: bool) -> None:
    """Content in parts becomes one text, and images."""
    parts = message["content"]
    texts: list[str] = []
    images: list[object] = []
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and isinstance(text := _text_of(part), str):
            texts.append(text)
        elif isinstance(part, Mapping) and isinstance(image := _image_of(part), str):
            images.append(image)
        elif not leaves_out:
            return
    message["content"] = "\n".join(texts)
    if images:
        had = message.get("images")
        message["images"] = [*(had if isinstance(had, list) else ()), *images]


def _text_of(part: Mapping[object, object]) -> object:
    return part.get("text") if part.get("type") in _TEXT_PARTS else None


def _image_of(part: Mapping[object, object]) -> object:
    if part.get("type") not in ("image_url", "input_image"):
        return None
    image = part.get("image_url")
    return image.get("url") if isinstance(image, Mapping) else image


def _images(images: object) -> object:
    if isinstance(images, str):
        images = [images]
    if not isinstance(images, list):
        return images
    return [_image(image) if isinstance(image, str) else image for image in images]


def _image(image: str) -> str:
    """The base64 of an image; of an address nothing can be made."""
    if image[:5].lower() == "data:":
        head, _, data = image.partition(",")
        if head.rstrip().lower().endswith(";base64"):
            image = data
    # Line ends are allowed in base64 of mails, and in no JSON that llama.cpp reads.
    return "".join(image.split()) if image[:64].isascii() and "://" not in image[:16] else image


def _calls(calls: object) -> object:
    if not isinstance(calls, list):
        return calls
    return [_call(call) if isinstance(call, Mapping) else call for call in calls]


def _call(call: Mapping[str, object]) -> dict[str, object]:
    right = dict(call)
    if "id" in right:
        right["id"] = _id(right["id"])
    function = right.get("function")
    if isinstance(function, Mapping) and isinstance(text := function.get("arguments"), str):
        arguments = arguments_in(text)
        if arguments is not None:
            right["function"] = {**function, "arguments": arguments}
    return right


def arguments_in(text: str) -> dict[str, object] | None:
    """The arguments that a text of JSON holds; no text at all is none. None: it is no object."""
    try:
        arguments = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError:
        return None
    return arguments if isinstance(arguments, dict) else None


def _name_result(message: dict[str, object]) -> None:
    if "tool_call_id" in message:
        message["tool_call_id"] = _id(message["tool_call_id"])
    if message.get("tool_name") is None and isinstance(message.get("name"), str):
        message["tool_name"] = message["name"]


def _id(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value

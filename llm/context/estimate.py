"""About how many tokens a message has, before the model has counted it. No I/O."""

from collections.abc import Mapping

import orjson

MESSAGE_TOKENS = 5
"""What a chat template puts around each message: its role, and the marks of begin and end."""
PROMPT_TOKENS = 8
"""What it puts around the whole: the begin of the text, and that of the reply."""
IMAGE_TOKENS = 768
"""What Ollama itself reckons for an image (server/prompt.go); the model's own counts go first."""
MAX_IMAGE_TOKENS = 16_384


def images_in(message: Mapping[str, object]) -> int:
    """How many images a message has."""
    # Nearly every message has none, and a long history is asked for each turn.
    if "images" not in message:
        return 0
    images = message["images"]
    return len(images) if isinstance(images, list | tuple) else 1


def estimated(message: Mapping[str, object], image_tokens: float = IMAGE_TOKENS) -> float:
    """About how many tokens a message has, before any count is known.

    A quarter for each character of ASCII, and three eighths more for each further byte that a
    character takes in UTF-8: an accented or Cyrillic letter 5/8, a Chinese character 1, an emoji
    1 and 3/8. That is near what the tokenizers of today's models need, rather above than below.
    """
    text = message.get("content")
    tokens = MESSAGE_TOKENS + (
        len(text) / 4 if isinstance(text, str) and text.isascii() else _of_json(text)
    )
    if "thinking" in message:
        tokens += _of_json(message["thinking"])
    if "tool_calls" in message:
        tokens += _of_json(message["tool_calls"])
    return tokens + image_tokens * images_in(message) if "images" in message else tokens


def bounded_image(tokens: float) -> float:
    """A number of tokens that a model may count for an image."""
    return min(MAX_IMAGE_TOKENS, max(1.0, tokens))


def _of_text(text: str) -> float:
    if text.isascii():
        return len(text) / 4
    # A lone surrogate fails no estimate; the request itself is refused with a reason.
    return (3 * len(text.encode("utf-8", "surrogatepass")) - len(text)) / 8


def _of_json(value: object) -> float:
    """The same of any JSON value; nothing of one that is not there."""
    if not value:
        return 0.0
    if isinstance(value, str):
        return _of_text(value)
    return _of_text(orjson.dumps(value, default=str).decode())

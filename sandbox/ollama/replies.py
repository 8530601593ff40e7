"""What a model says: a pure function of the messages it was sent.

A test thus knows from a reply alone which messages the model was sent.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import cycle, islice

MAX_ECHO_CHARS = 400
"""How much of the last user message a reply repeats."""

IMAGE_TOKENS = 768
"""What Ollama reckons for an image, whatever its size (docs/ollama.md, Window)."""

_NUMBER = re.compile(r"(?<!\d)\d{1,9}(?!\d)")
_PIECE = re.compile(r"\S+\s*|\s+")


def reply_to(messages: Sequence[Mapping[str, object]], *, is_marked: bool = True) -> str:
    """The reply: the last user message, the number of earlier turns, the fingerprint if wanted.

    An earlier turn is an assistant message before the end. For example
    `You said: “Hello”. This is our first turn. (1a2b3c4d)`.
    """
    said = last_user_text(messages)
    echo = said if len(said) <= MAX_ECHO_CHARS else said[:MAX_ECHO_CHARS] + "…"
    mark = f" ({fingerprint(messages)})" if is_marked else ""
    return f"You said: “{echo}”. {_memory(messages)}{mark}"


def fingerprint(messages: Sequence[Mapping[str, object]]) -> str:
    """First 8 hex digits of SHA-256 over role, NUL, content, NUL of each message, in UTF-8."""
    seen = "".join(f"{_text(m, 'role')}\0{_text(m, 'content')}\0" for m in messages)
    return hashlib.sha256(seen.encode(errors="replace")).hexdigest()[:8]


def pieces(text: str, tokens: int | None = None) -> list[str]:
    """`text` as tokens: each word with the white space behind it; their concatenation is `text`.

    With `tokens` given, exactly so many: the words over again, or fewer of them.
    """
    if tokens is None:
        return _PIECE.findall(text)
    return list(islice(cycle(_PIECE.findall(text + " ")), tokens))


def prompt_tokens(
    messages: Sequence[Mapping[str, object]], density: int = 1, image_tokens: int = IMAGE_TOKENS
) -> int:
    """The length of the prompt: 4 tokens per message, one per 4 characters, rounded up, so many
    per image; `density` times that."""
    return density * sum(_tokens(message, image_tokens) for message in messages)


def _tokens(message: Mapping[str, object], image_tokens: int) -> int:
    images = message.get("images")
    pictures = len(images) if isinstance(images, list) else 0
    return 4 + (len(_text(message, "content")) + 3) // 4 + image_tokens * pictures


def _text(message: Mapping[str, object], key: str) -> str:
    value = message.get(key)
    return value if isinstance(value, str) else ""


def last_user_text(messages: Sequence[Mapping[str, object]]) -> str:
    """What the user said last, "" if nothing."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return _text(message, "content")
    return ""


def first_number(text: str) -> int | None:
    """The first whole number in `text`, of nine digits at most."""
    found = _NUMBER.search(text)
    return int(found.group()) if found else None


def _memory(messages: Sequence[Mapping[str, object]]) -> str:
    earlier = sum(message.get("role") == "assistant" for message in messages[:-1])
    if earlier == 0:
        return "This is our first turn."
    return f"I remember {earlier} earlier turn{'s' if earlier > 1 else ''}."

"""Images of a message: their base64 as Go reads it, and what kind of picture it is. Pure."""

import base64
import string

from sandbox.ollama.errors import Refused
from sandbox.ollama.gojson import JsonValue
from sandbox.ollama.request.decoding import mismatch

_ALPHABET = frozenset(string.ascii_letters + string.digits + "+/")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"ID3", b"\xff\xfb")
"""How the files begin that llama.cpp can load: PNG, JPEG, GIF, BMP, WebP and WAV, MP3."""


def image(value: JsonValue, path: str) -> None:
    """A check of one image: standard base64 with padding. Line ends are ignored, as Go does."""
    if not isinstance(value, str):
        raise mismatch(value, path, "api.ImageData")
    if (at := _corrupt_at(value)) is not None:
        raise Refused(400, f"illegal base64 data at input byte {at}")


def is_readable(encoded: str) -> bool:
    """Whether the bytes begin as those of a picture or a sound do."""
    head = encoded.replace("\n", "").replace("\r", "")[:16]
    return base64.b64decode(head[: len(head) // 4 * 4]).startswith(_MAGIC)


def _corrupt_at(encoded: str) -> int | None:
    """Where Go's decoder stops, in bytes; None if it does not."""
    rest = len(encoded) - sum(encoded.count(end) for end in "\r\n")
    if rest % 4 == 0 and _ALPHABET.issuperset(encoded.rstrip("=")) and encoded[-3:] != "===":
        return None  # by far the most frequent form: no line ends, right padding
    filled = 0
    for at, character in enumerate(encoded):
        if character in "\r\n":
            continue
        if character in _ALPHABET:
            filled = (filled + 1) % 4
            continue
        return _after_padding(encoded, at, filled) if character == "=" else at
    return len(encoded) - filled if filled else None


def _after_padding(encoded: str, at: int, filled: int) -> int | None:
    """The same from the first `=` on, with `filled` characters of its quantum before it."""
    if filled < 2:
        return at
    tail = [index for index in range(at + 1, len(encoded)) if encoded[index] not in "\r\n"]
    if filled == 2:
        if not tail:
            return len(encoded)
        if encoded[tail[0]] != "=":
            return tail[0]
        tail = tail[1:]
    return tail[0] if tail else None

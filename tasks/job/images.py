"""The images that come with a message: base64, of a known kind, few and small. Pure."""

import base64
import binascii
from collections.abc import Sequence

from tasks.errors import InvalidJob

_HEADS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"GIF87a",
    b"GIF89a",
    b"BM",  # BMP
)
KINDS = "PNG, JPEG, GIF, WebP or BMP"


def check_images(images: Sequence[str], *, max_count: int, max_bytes: int) -> None:
    """Raise InvalidJob unless all are images as `/api/chat` takes them.

    That is base64 without a `data:` prefix and without line ends. `max_bytes` bounds all images of
    one message together, decoded. Only an image's first bytes are looked at: whether the rest can
    be shown is the model's server to say.
    """
    if len(images) > max_count:
        raise InvalidJob(
            f"images: {len(images)} given, at most {max_count} are allowed (CHAT_MAX_IMAGES)"
        )
    size_bytes = sum(_size_bytes(image, number) for number, image in enumerate(images))
    if size_bytes > max_bytes:
        raise InvalidJob(
            f"images have {size_bytes} bytes, at most {max_bytes} are allowed for all of a message "
            "together (CHAT_MAX_IMAGE_BYTES, and half of MEMORY_MAX_VALUE_BYTES)"
        )


def _size_bytes(image: str, number: int) -> int:
    """The decoded size of one image."""
    try:
        decoded = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidJob(
            f"images.{number} is not base64 (without a data: prefix and line ends)"
        ) from None
    if not decoded.startswith(_HEADS) and not _is_webp(decoded):
        raise InvalidJob(f"images.{number} is no image of a known kind: {KINDS}")
    return len(decoded)


def _is_webp(decoded: bytes) -> bool:
    return decoded.startswith(b"RIFF") and decoded[8:12] == b"WEBP"

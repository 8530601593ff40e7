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
        raise InvalidJob(f"images: {len(images)} given; the limit is {max_count} (CHAT_MAX_IMAGES)")
    size_bytes = sum(_size_bytes(image, number) for number, image in enumerate(images))
    if size_bytes > max_bytes:
        raise InvalidJob(
            f"the images of a message have {size_bytes} bytes together; the limit is "
            f"{max_bytes} (CHAT_MAX_IMAGE_BYTES, and half of MEMORY_MAX_VALUE_BYTES)"
        )


def _size_bytes(image: str, number: int) -> int:
    """The decoded size of one image."""
    try:
        decoded = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidJob(
            f"images.{number} is not base64 (leave out a data: prefix and line breaks)"
        ) from None
    if not decoded.startswith(_HEADS) and not _is_webp(decoded):
        raise InvalidJob(f"images.{number} is not a supported image: send {KINDS}")
    return len(decoded)


def _is_webp(decoded: bytes) -> bool:
    return decoded.startswith(b"RIFF") and decoded[8:12] == b"WEBP"

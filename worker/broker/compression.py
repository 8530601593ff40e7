"""Compressed messages, which must not become larger than a message may be.

Works around kombu 5.7.0: it decompresses whatever comes, and a message of 2 MB may hold 2 GB.
"""

# mypy: allow-untyped-calls
# Kombu says it is typed, but kombu.compression is not.

import bz2
import lzma
import zlib
from collections.abc import Callable
from functools import partial

from kombu.compression import encoders, get_encoder, register

from worker.broker.messages import TooLarge

LZMA_MEMORY_BYTES = 128 * 1024 * 1024
"""What level 9, the highest, takes is half of it."""


def bound_decompression(most_bytes: int) -> None:
    """Let no message of this process become larger than that. Safe to repeat.

    What cannot be bounded is not accepted.
    """
    for content_type in encoders():
        encoder, _ = get_encoder(content_type)
        bounded = _BOUNDED.get(content_type, _refused)
        register(encoder, partial(bounded, most_bytes), content_type)


def _zlib(most_bytes: int, packed: bytes) -> bytes:
    made = zlib.decompressobj()
    return _whole(made.decompress(packed, most_bytes), is_whole=made.eof)


def _bz2(most_bytes: int, packed: bytes) -> bytes:
    made = bz2.BZ2Decompressor()
    return _whole(made.decompress(packed, most_bytes), is_whole=made.eof)


def _lzma(most_bytes: int, packed: bytes) -> bytes:
    made = lzma.LZMADecompressor(memlimit=LZMA_MEMORY_BYTES)
    return _whole(made.decompress(packed, most_bytes), is_whole=made.eof)


def _whole(text: bytes, *, is_whole: bool) -> bytes:
    if not is_whole:
        raise TooLarge("it is cut, or too large when it is decompressed")
    return text


def _refused(most_bytes: int, packed: bytes) -> bytes:
    raise ValueError("its compression is not accepted")


_BOUNDED: dict[str, Callable[[int, bytes], bytes]] = {
    "application/x-gzip": _zlib,
    "application/x-bz2": _bz2,
    "application/x-lzma": _lzma,
}

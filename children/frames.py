"""How parent and child speak: frames of bytes, each behind its kind and length. Pure.

One socket carries both ways. Of a request come any number of notes, and then its answer.
"""

import struct

HEAD = struct.Struct("!cI")
MAX_FRAME_BYTES = 64 * 1024 * 1024
READY = b"ready"
"""What a child says first, once it has imported its work."""
WHOLE = b"w"
"""The kind of a request, and of an answer."""
NOTE = b"n"
"""The kind of what a child says of a request before it answers."""


def framed(payload: bytes, kind: bytes = WHOLE) -> bytes:
    """The payload behind its head. Raises ValueError for one that is too long."""
    if len(payload) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes, at most {MAX_FRAME_BYTES} are sent")
    return HEAD.pack(kind, len(payload)) + payload


def read_head(head: bytes) -> tuple[bytes, int]:
    """The kind and the length that a head tells."""
    kind, length = HEAD.unpack(head)
    return bytes(kind), int(length)

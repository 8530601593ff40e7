"""How parent and child speak: frames of bytes, each behind its length. Pure.

One socket carries both ways. The first byte of an answer says whether the work raised nothing.
"""

import struct

HEAD = struct.Struct("!I")
MAX_FRAME_BYTES = 64 * 1024 * 1024
READY = b"ready"
"""What a child says first, once it has imported its work."""


def framed(payload: bytes) -> bytes:
    """The payload behind its length. Raises ValueError for one that is too long."""
    if len(payload) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes, at most {MAX_FRAME_BYTES} are sent")
    return HEAD.pack(len(payload)) + payload


def length_of(head: bytes) -> int:
    """The length that a head tells."""
    return int(HEAD.unpack(head)[0])

"""Netstrings: `<size in bytes>:<bytes>,` one after the other. Pure.

The Lua operations write several values into one with them: each value stays byte for byte as it is,
and Lua decodes nothing.
"""

from collections.abc import Iterable, Iterator


def netstrings(stored: bytes) -> Iterator[bytes]:
    """The strings of a series of netstrings. Raises ValueError where it is none."""
    at = 0
    while at < len(stored):
        colon = stored.index(b":", at)
        end = colon + 1 + int(stored[at:colon])
        if stored[end : end + 1] != b",":
            raise ValueError("a netstring does not end with a comma")
        yield stored[colon + 1 : end]
        at = end + 1


def packed_netstrings(strings: Iterable[bytes]) -> bytes:
    """`netstrings` the other way round."""
    return b"".join(b"%d:%s," % (len(one), one) for one in strings)

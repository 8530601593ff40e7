"""A long history is decoded without keeping the event loop."""

import asyncio

from memory import Keyspace
from memory.records import history
from memory.records.history import SLICE_BYTES
from tests.support.slowest_callback import slowest_callback

KEYS = Keyspace().session("energy", "s")


async def test_a_long_history_is_decoded_in_slices_as_it_is_in_one() -> None:
    """Others get the loop in between; what is no message leaves its place out."""
    text = b'{"role":"user","content":"' + b"x" * 30_000 + b'"}'
    raw = [text if at % 7 else b"no message" for at in range(3 * SLICE_BYTES // 30_000)]
    with slowest_callback() as slowest:
        sliced = await asyncio.create_task(history.decode_in_slices(KEYS, raw))
    assert slowest.count >= 3
    assert sliced == history.decode(KEYS, raw)
    assert await history.decode_in_slices(KEYS, []) == history.decode(KEYS, [])

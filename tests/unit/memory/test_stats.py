"""Sizes as Redis prints them."""

import pytest

from memory.records.stats import human_size


@pytest.mark.parametrize(
    ("size_bytes", "printed"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.00K"),
        (1_069_547, "1.02M"),
        (1_743_624, "1.66M"),
        (3_758_096_384, "3.50G"),
        (2**50 * 3000, "3000.00P"),
    ],
)
def test_a_size_is_printed_as_redis_prints_it(size_bytes: int, printed: str) -> None:
    """`used_memory` of a cluster looks like that of one server."""
    assert human_size(size_bytes) == printed

"""Compressed messages are bounded in what they become."""

import bz2
import lzma
import zlib
from collections.abc import Callable

import pytest
from kombu.compression import decompress, encoders, register

from worker.broker.compression import bound_decompression
from worker.broker.messages import TooLarge

MOST_BYTES = 10_000
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": zlib.compress,
    "bzip2": bz2.compress,
    "lzma": lzma.compress,
}
packers = pytest.mark.parametrize("name", PACKERS)


@pytest.fixture(autouse=True)
def bounded() -> None:
    """Nothing may become larger than this."""
    bound_decompression(MOST_BYTES)


@packers
@pytest.mark.parametrize("size", [0, 1, MOST_BYTES])
def test_what_fits_comes_out_as_it_went_in(name: str, size: int) -> None:
    """At the limit, too."""
    text = b"x" * size
    assert decompress(PACKERS[name](text), name) == text


@packers
@pytest.mark.parametrize("size", [MOST_BYTES + 1, 20_000_000])
def test_what_grows_beyond_the_limit_is_refused(name: str, size: int) -> None:
    """Twenty megabytes in a few kilobytes are never made."""
    with pytest.raises(TooLarge):
        decompress(PACKERS[name](b"x" * size), name)


@packers
def test_what_was_cut_or_is_none_is_refused(name: str) -> None:
    """As it is without a limit."""
    packed = PACKERS[name](b"some text")
    for broken in (packed[:-3], b"plain text", b""):
        with pytest.raises((OSError, ValueError, lzma.LZMAError, zlib.error)):
            decompress(broken, name)


def test_a_compression_that_cannot_be_bounded_is_not_accepted() -> None:
    """Such as one that another package brings."""
    register(bytes, bytes, "application/x-other")
    bound_decompression(MOST_BYTES)
    assert "application/x-other" in encoders()
    with pytest.raises(ValueError, match="not accepted"):
        decompress(b"text", "application/x-other")

"""Which images a message may bring."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import InvalidJob
from tasks.job.images import check_images

HEADS = {
    "PNG": b"\x89PNG\r\n\x1a\n",
    "JPEG": b"\xff\xd8\xff\xe0",
    "GIF": b"GIF89a",
    "BMP": b"BM",
    "WebP": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
}


def encoded(content: bytes) -> str:
    """As a sender sends it."""
    return base64.b64encode(content).decode()


def check(*images: str, max_count: int = 4, max_bytes: int = 100) -> None:
    """With limits that a test can reach."""
    check_images(images, max_count=max_count, max_bytes=max_bytes)


@pytest.mark.parametrize("kind", HEADS)
def test_known_kinds_are_taken(kind: str) -> None:
    """By their first bytes."""
    check(encoded(HEADS[kind] + b"rest"))


@pytest.mark.parametrize(
    "image",
    [
        "",
        "not base64!",
        "data:image/png;base64," + encoded(HEADS["PNG"]),
        encoded(HEADS["PNG"]) + "\n",
        encoded(HEADS["PNG"])[:-1],
        encoded(b"%PDF-1.7"),
        encoded(b"RIFF\x10\x00\x00\x00WAVEfmt "),
        encoded(b"<svg onload=alert(1)>"),
        "\u00e9\u00e9\u00e9\u00e9",
    ],
)
def test_anything_else_is_refused_by_its_place_and_not_quoted(image: str) -> None:
    """The second of two is named by its number; what it holds is not repeated."""
    with pytest.raises(InvalidJob, match=r"^images\.1 is no") as caught:
        check(encoded(HEADS["PNG"]), image)
    assert not image or image not in str(caught.value)


def test_as_many_images_as_the_limit_says_and_not_one_more() -> None:
    """Each counts."""
    image = encoded(HEADS["PNG"])
    check(*[image] * 4)
    with pytest.raises(InvalidJob, match=r"5 given; the limit is 4 .*CHAT_MAX_IMAGES"):
        check(*[image] * 5)


def test_as_many_bytes_as_the_limit_says_and_not_one_more() -> None:
    """Decoded, and of all images together."""
    half, rest = (HEADS["PNG"].ljust(size, b"x") for size in (50, 51))
    check(encoded(half), encoded(half))
    with pytest.raises(
        InvalidJob, match=r"101 bytes together; the limit is 100 .*CHAT_MAX_IMAGE_BYTES"
    ):
        check(encoded(half), encoded(rest))


@given(image=st.text(max_size=40))
def test_whatever_is_sent_nothing_but_our_own_error_comes(image: str) -> None:
    """A producer's mistake is an InvalidJob."""
    try:
        check(image)
    except InvalidJob:
        return
    assert base64.b64decode(image, validate=True)

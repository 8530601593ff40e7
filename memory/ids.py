"""Ids as they are written in keys, and new ones."""

import os
import re
from urllib.parse import quote, unquote

from memory.errors import InvalidInput
from memory.quoting import quoted

MAX_ID_BYTES = 512

_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~@-]{0,127}")


def encode_id(value: str, *, what: str) -> str:
    """`value` as it is written in a key: plain ids as they are, any other percent-encoded UTF-8.

    Distinct ids give distinct results, none of which contains a `:`, a brace or a glob character.
    Raises InvalidInput when it is not a string, empty, not valid Unicode, or too long.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be a string, not {type(value).__name__}")
    if _PLAIN_ID.fullmatch(value):
        return value
    if not value:
        raise InvalidInput(f"{what} must not be empty")
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} is not valid Unicode") from None
    if size_bytes > MAX_ID_BYTES:
        raise InvalidInput(f"{what} has {size_bytes} bytes; the limit is {MAX_ID_BYTES}")
    return quote(value, safe="@")


def new_uuid() -> str:
    """A random UUID as text, at a third of what `uuid` takes."""
    drawn = os.urandom(16).hex()
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-a{drawn[17:20]}-{drawn[20:]}"


def is_id(value: str) -> bool:
    """Whether `encode_id` takes it."""
    try:
        encode_id(value, what="id")
    except InvalidInput:
        return False
    return True


def shown_id(value: object) -> str:
    """An id as errors and log lines show it: as it is written in keys, so in one word.

    What cannot be an id is not repeated.
    """
    try:
        return encode_id(value, what="id")  # type: ignore[arg-type]  # it refuses other types
    except InvalidInput:
        return quoted(value)


def read_id(shown: str) -> str:
    """The id that `shown_id` shows so."""
    return unquote(shown)

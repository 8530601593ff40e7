"""What tests of the archive say in a session, and when its time is over."""

from memory.lifetimes import ARCHIVE_HOLD_S
from memory.records.archived import Stay

STAY = Stay(messages=4, size_bytes=10_000)
OVER_MS = ARCHIVE_HOLD_S * 1000 - 5000
"""The TTL of a history whose time has been over for five seconds."""


def said(number: int) -> dict[str, object]:
    """A message of a conversation."""
    return {"role": "user", "content": f"message {number}"}

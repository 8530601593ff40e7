"""What the documented service takes in: the checks that come before anything is sent. Pure."""

from collections.abc import Mapping, Sequence

from memory.errors import InvalidInput
from memory.records.codec import encode_message

MAX_TTL_S = 315_360_000
MAX_HISTORY_BYTES = 64 * 1024 * 1024
"""No history is kept that has more bytes of JSON, whatever HISTORY_MAX_BYTES says."""


def seconds(ttl: int | None, *, default_s: int) -> int:
    """`ttl`, or the default where it is None. InvalidInput unless 1 second to 10 years."""
    if ttl is None:
        return default_s
    return whole_number(ttl, what="ttl", most=MAX_TTL_S)


def whole_number(value: int, *, what: str, most: int) -> int:
    """`value`, if it is an int from 1 to `most`; else InvalidInput."""
    # bool is an int in Python; True is no number of seconds.
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"{what} must be an int, not {type(value).__name__}")
    if not 1 <= value <= most:
        raise InvalidInput(f"{what} must be from 1 to {most}, not {value}")
    return value


def kept_messages(max_history: int | None, *, most: int) -> int:
    """How many messages stay after an append: `max_history`, and never more than `most`."""
    if max_history is None:
        return most
    return min(whole_number(max_history, what="max_history", most=2**31), most)


def encoded_history(
    history: Sequence[Mapping[str, object]], *, most: int, max_bytes: int, most_bytes: int
) -> list[bytes]:
    """Each message as it is stored: `max_bytes` bounds one, `most_bytes` all together. InvalidInput
    names the first that is not acceptable."""
    # A str is a Sequence, too.
    if isinstance(history, str | bytes | Mapping) or not isinstance(history, Sequence):
        raise InvalidInput(f"history must be a list of messages, not {type(history).__name__}")
    if len(history) > most:
        raise InvalidInput(
            f"history has {len(history)} messages; the limit is {most} (HISTORY_MAX_MESSAGES)"
        )
    records = [
        encode_message(message, max_bytes, what=f"message {position}")
        for position, message in enumerate(history)
    ]
    size_bytes = sum(map(len, records))
    if size_bytes > most_bytes:
        raise InvalidInput(
            f"history has {size_bytes} bytes; the limit is {most_bytes} (HISTORY_MAX_BYTES)"
        )
    return records

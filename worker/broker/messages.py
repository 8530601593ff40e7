"""What an element of a broker's list must be before kombu and Celery may see it. No I/O."""

# mypy: allow-untyped-calls
# Kombu says it is typed, but kombu.utils.json is not.

from kombu.utils.json import dumps, loads

from memory.ids import is_id

# What decoding and handling a malformed message has been seen to raise. Kombu itself counts
# KeyError as a lost connection (celery/kombu#2582), so that a message without a key makes the
# worker reconnect, get the message back and reconnect again.
MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def decode_message(element: bytes | str) -> dict[str, object]:
    """The message in one element of a broker's list.

    Raises one of MALFORMED if kombu or Celery could not handle it: not UTF-8, not JSON, not an
    object, text that cannot be encoded again, properties or headers missing or of a wrong type.
    """
    text = element if isinstance(element, str) else element.decode("utf-8")
    message = loads(text)
    if "\\ud" in text.lower():
        dumps(message, ensure_ascii=False).encode("utf-8")  # A lone surrogate fails here.
    return checked_message(message)


def checked_message(message: object) -> dict[str, object]:
    """The same message if its fields are what kombu and Celery take for granted.

    Raises TypeError otherwise.
    """
    match message:
        case {
            "properties": {
                "delivery_tag": str(tag),
                "delivery_info": {"exchange": str(), "routing_key": str()},
            }
        } if tag and isinstance(message, dict) and has_sound_headers(message):
            return message
    raise TypeError("its fields are not those of a message")


def has_sound_headers(message: dict[str, object]) -> bool:
    """Whether task and id, where there is one, are both there and are text; the id can be one."""
    match message.get("headers", {}):
        case {"task": str(task), "id": str(job_id)}:
            return bool(task) and is_id(job_id)
        case {"task": _, "id": _}:
            return False
        case dict(headers):
            return "task" not in headers
    return False

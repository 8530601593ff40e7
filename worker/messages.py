"""What an element of a broker's list must be before kombu and Celery may see it. No I/O."""

# mypy: allow-untyped-calls
# Kombu says it is typed, but kombu.utils.json is not.

from kombu.utils.json import dumps, loads

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
    fields = _mapping(message, "message")
    _check_properties(_mapping(fields.get("properties"), "properties"))
    headers = _mapping(fields.get("headers", {}), "headers")
    if "task" in headers:
        _text(headers["task"], "task")
        _text(headers.get("id"), "id")
    return fields


def _check_properties(fields: dict[str, object]) -> None:
    _text(fields.get("delivery_tag"), "delivery_tag")
    delivery_info = _mapping(fields.get("delivery_info"), "delivery_info")
    for name in ("exchange", "routing_key"):
        if not isinstance(delivery_info.get(name), str):
            raise TypeError(f"{name} is not text")


def _mapping(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is not an object")
    return value


def _text(value: object, name: str) -> None:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} is not text")

"""What an element of a broker's list must be before kombu and Celery may see it. No I/O."""

# mypy: allow-untyped-calls
# Kombu says it is typed, but kombu.utils.json is not.

from collections.abc import Mapping, Set

from kombu.utils.json import dumps, loads

from memory.ids import is_id
from tasks.job.weights.nesting import is_json_nested_deeper

MAX_LEVELS = 128
"""Objects and lists within each other in a message: an argument of a job of a chord of a chain."""
MAX_AROUND_BYTES = 131_072
"""What a message may have beside its body: more than all Celery options of a job may become."""
MAX_NAME_CHARS = 512
KEPT_BYTES = 131_072
"""Of a message that cannot be handled, which the quarantine keeps: its beginning."""

# Of Celery's headers, those that are names and stand in logs, events and keys.
_NAMES = frozenset(
    {"compression", "eta", "expires", "group", "id", "lang", "origin", "parent_id", "root_id",
     "shadow", "task"}
)  # fmt: skip
_PROPERTY_NAMES = frozenset({"correlation_id", "delivery_tag", "reply_to"})

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


class TooLarge(ValueError):
    """A message that is too large, or nested too deeply. Its text is ours, and says which."""


def check_size(packed: bytes | str | memoryview, most_bytes: int) -> None:
    """Raise TooLarge for JSON that no parser is to see."""
    if len(packed) > most_bytes:
        raise TooLarge(f"over {most_bytes} bytes, see CHAT_MAX_ENVELOPE_BYTES")
    check_nesting(packed)


def check_nesting(packed: bytes | str | memoryview) -> None:
    """Raise TooLarge for JSON that is nested too deeply, or has too many parts."""
    # py-amqp hands on a text where a message names its encoding, and else a view.
    text = packed.encode("utf-8", "surrogatepass") if isinstance(packed, str) else bytes(packed)
    if is_json_nested_deeper(text, MAX_LEVELS):
        raise TooLarge(f"nested deeper than {MAX_LEVELS} levels, or of too many parts")


def fault_of(error: BaseException) -> str:
    """What a log may say of an error in a message: nothing that a sender wrote."""
    return str(error) if isinstance(error, TooLarge) else type(error).__name__


def decode_message(element: bytes | str) -> dict[str, object]:
    """The message in one element of a broker's list.

    Raises one of MALFORMED if kombu or Celery could not handle it: not UTF-8, not JSON, not an
    object, text that cannot be encoded again, properties or headers missing, too long or of a wrong
    type.
    """
    text = element if isinstance(element, str) else element.decode("utf-8")
    message = loads(text)
    if "\\ud" in text.lower():
        dumps(message, ensure_ascii=False).encode("utf-8")  # A lone surrogate fails here.
    checked = checked_message(message)
    body = checked.get("body")
    if len(element) - (len(body) if isinstance(body, str) else 0) > MAX_AROUND_BYTES:
        raise TooLarge(f"over {MAX_AROUND_BYTES} bytes beside its body")
    return checked


def checked_message(message: object) -> dict[str, object]:
    """The same message if its fields are what kombu and Celery take for granted.

    Raises TypeError otherwise.
    """
    match message:
        case {
            "properties": {
                "delivery_tag": str(tag),
                "delivery_info": {"exchange": str(exchange), "routing_key": str(key)},
            } as properties
        } if tag and isinstance(message, dict) and has_sound_headers(message):
            _check_names(properties, _PROPERTY_NAMES)
            _check_names({"exchange": exchange, "routing_key": key}, {"exchange", "routing_key"})
            return message
    raise TypeError("its fields are not those of a message")


def has_sound_headers(message: Mapping[str, object]) -> bool:
    """Whether task and id, where there is one, are both there and are text; the id can be one.

    Raises TooLarge where a header that is a name is longer than any name.
    """
    if isinstance(headers := message.get("headers"), dict):
        _check_names(headers, _NAMES)
    match message.get("headers", {}):
        case {"task": str(task), "id": str(job_id)}:
            return bool(task) and is_id(job_id)
        case {"task": _, "id": _}:
            return False
        case dict(headers):
            return "task" not in headers
    return False


def _check_names(fields: Mapping[str, object], names: Set[str]) -> None:
    for name in names & fields.keys():
        value = fields[name]
        if isinstance(value, str) and len(value) > MAX_NAME_CHARS:
            raise TooLarge(f"{name} of over {MAX_NAME_CHARS} characters")

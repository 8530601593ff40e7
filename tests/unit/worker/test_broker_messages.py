"""What worker.broker.messages lets through."""

import json

import pytest

from tests.support.faults.celery_messages import UNDECODABLE, element, task_message, task_properties
from worker.broker.messages import (
    MALFORMED,
    MAX_AROUND_BYTES,
    MAX_NAME_CHARS,
    TooLarge,
    check_nesting,
    check_size,
    decode_message,
    fault_of,
)


@pytest.mark.parametrize("kind", UNDECODABLE)
def test_what_is_no_message_is_refused(kind: str) -> None:
    """Each kind raises one of the errors that the transport expects, and no other."""
    with pytest.raises(MALFORMED):
        decode_message(UNDECODABLE[kind])


def test_a_message_of_celery_is_returned_as_it_is() -> None:
    """Decoding changes nothing."""
    message = task_message("echo", "text")

    assert decode_message(json.dumps(message).encode()) == message


@pytest.mark.parametrize("text", ["😀", "\N{DEVANAGARI LETTER A}", "a\\ud800b", "\x00"])
def test_unusual_text_that_can_be_encoded_is_no_fault(text: str) -> None:
    """Emoji (a pair of surrogates in JSON), a backslash before 'ud800', NUL."""
    properties = task_properties(correlation_id=text)
    message = decode_message(element("echo", properties=properties))

    assert message["properties"] == properties


def test_a_message_without_headers_is_no_fault() -> None:
    """Celery's first protocol has none."""
    message = task_message("echo")
    del message["headers"]

    assert decode_message(json.dumps(message).encode()) == message


LONG = "x" * (MAX_NAME_CHARS + 1)
NAMES = ("eta", "expires", "group", "lang", "origin", "parent_id", "root_id", "shadow")


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_is_a_name_is_as_long_as_a_name(name: str) -> None:
    """It goes to logs, events and keys. What says so holds nothing of it."""
    headers = {"task": "echo", "id": "a", name: "x" * MAX_NAME_CHARS}
    assert decode_message(element("echo", headers=headers))
    with pytest.raises(TooLarge) as refused:
        decode_message(element("echo", headers=headers | {name: LONG}))
    assert fault_of(refused.value) == f"{name} of over {MAX_NAME_CHARS} characters"


@pytest.mark.parametrize("name", ["correlation_id", "reply_to", "delivery_tag"])
def test_so_is_a_property(name: str) -> None:
    """And a queue's name."""
    with pytest.raises(TooLarge):
        decode_message(element("echo", properties=task_properties(**{name: LONG})))
    place = {"exchange": "", "routing_key": LONG}
    with pytest.raises(TooLarge):
        decode_message(element("echo", properties=task_properties(delivery_info=place)))


def test_what_is_beside_a_body_is_bounded() -> None:
    """However large the body may be."""
    headers = {"task": "echo", "id": "a", "mine": ""}
    size_bytes = len(element("echo", "x" * 200_000, headers=headers))
    body_bytes = len(str(task_message("echo", "x" * 200_000)["body"]))
    room = MAX_AROUND_BYTES - (size_bytes - body_bytes)
    fits, too_much = ({**headers, "mine": "x" * size} for size in (room, room + 1))
    assert decode_message(element("echo", "x" * 200_000, headers=fits))
    with pytest.raises(TooLarge):
        decode_message(element("echo", "x" * 200_000, headers=too_much))


def test_a_large_or_deep_message_is_not_decoded() -> None:
    """The size holds to the byte; the log names the setting."""
    check_size(b"x" * 100, 100)
    with pytest.raises(TooLarge, match="over 100 bytes, see CHAT_MAX_ENVELOPE_BYTES"):
        check_size(b"x" * 101, 100)
    check_nesting("[" * 128 + "]" * 128)
    with pytest.raises(TooLarge, match="nested deeper than 128 levels"):
        check_nesting("[" * 129 + "\ud800")

"""What worker.broker.messages lets through."""

import json

import pytest

from tests.support.faults.celery_messages import UNDECODABLE, element, task_message, task_properties
from worker.broker.messages import MALFORMED, decode_message


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

"""What Celery's consumer sets aside of RabbitMQ's messages before it handles them; no broker."""

from types import SimpleNamespace

import pytest
from celery.worker.consumer import Consumer
from kombu.message import Message

from tasks.job.envelope_size import BROKER_FACTOR
from tasks.process.configuration import load_settings
from worker import consumer
from worker.broker.messages import MAX_LEVELS, MAX_NAME_CHARS, TooLarge

MOST_BYTES = load_settings().max_envelope_bytes * BROKER_FACTOR
HEADERS = {"task": "tasks.chat_task", "id": "a", "griot_keys": ""}
REFUSED = {
    "large": (b"x" * (MOST_BYTES + 1), HEADERS, "see CHAT_MAX_ENVELOPE_BYTES"),
    "deep": (b"[" * (MAX_LEVELS + 1), HEADERS, "nested deeper"),
    "of a long name": (b"[]", HEADERS | {"shadow": "x" * (MAX_NAME_CHARS + 1)}, "shadow of over"),
}


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """The messages that reach Celery's own handler."""
    found: list[Message] = []
    monkeypatch.setattr(Consumer, "create_task_handler", lambda *_: found.append)
    return found


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Why messages are set aside."""
    found: list[BaseException] = []
    monkeypatch.setattr(consumer, "set_aside", lambda app, message, error: found.append(error))
    return found


def handle(body: bytes, headers: dict[str, str]) -> None:
    """Handle a message as the consumer of a worker on RabbitMQ does."""
    ours = consumer.GriotConsumer.__new__(consumer.GriotConsumer)
    ours.app = None
    ours.conninfo = SimpleNamespace(transport=SimpleNamespace(driver_type="amqp"))
    ours.create_task_handler()(Message(body=body, headers=headers))


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_too_much_is_set_aside_unread(
    handled: list[Message], aside: list[BaseException], kind: str
) -> None:
    """As on Redis, where the transport does it."""
    body, headers, why = REFUSED[kind]
    handle(body, headers)
    assert not handled
    (error,) = aside
    assert isinstance(error, TooLarge)
    assert why in str(error)


def test_a_message_as_large_as_may_be_is_handled(
    handled: list[Message], aside: list[BaseException]
) -> None:
    """To the byte."""
    handle(b"x" * MOST_BYTES, HEADERS)
    assert (len(handled), aside) == (1, [])

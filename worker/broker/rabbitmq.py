"""What the hardened transport does for Redis and py-amqp does not for RabbitMQ.

Works around celery 5.7.0: a message that it cannot handle ends the worker, the broker hands the
message to the next one, and ends that too.
"""

# mypy: allow-untyped-calls
# Kombu says it is typed, but its producer is not.

import logging

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from kombu.message import Message

from worker.broker.messages import KEPT_BYTES, TooLarge, fault_of
from worker.broker.republish import republish
from worker.broker.transport import QUARANTINE_MAX_ELEMENTS, QUARANTINE_SUFFIX, QUARANTINE_TTL_S

logger = logging.getLogger(__name__)


def set_aside(app: Celery, message: Message, error: BaseException) -> None:
    """Move a message that cannot be handled to the quarantine of its queue.

    Where that fails it stays with the broker, which delivers it again to the next connection.
    """
    queue = str(message.delivery_info.get("routing_key") or "unknown")
    quarantine = _quarantine(queue)
    logger.error(
        "a message of %d bytes on %r cannot be handled (%s) and was moved to %s",
        len(message.body or b""), queue, fault_of(error), quarantine.name,
    )  # fmt: skip
    try:
        # A name among the headers may be what is too large.
        headers = {} if isinstance(error, TooLarge) else message.headers
        republish(app, message, quarantine, most_bytes=KEPT_BYTES, headers=headers)
    except OperationalError as exc:
        logger.warning("the message stays in %r and will be tried again: %s", queue, exc)
        return
    message.ack()


def is_lost(message: Message) -> bool:
    """Whether the connection is gone that a message came over: the broker delivers it again, and
    waits for no acknowledgement."""
    return message.channel is None or message.channel.connection is None


def _quarantine(queue: str) -> Queue:
    return Queue(
        queue + QUARANTINE_SUFFIX,
        exchange="",
        routing_key=queue + QUARANTINE_SUFFIX,
        max_length=QUARANTINE_MAX_ELEMENTS,
        message_ttl=QUARANTINE_TTL_S,
    )

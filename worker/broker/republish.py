"""Publishing a message into another queue as it came: body, headers and encodings stay."""

# mypy: allow-untyped-calls
# Kombu says it is typed, but its producer is not.

from collections.abc import Mapping

from celery import Celery
from kombu.entity import Queue
from kombu.message import Message


def republish(
    app: Celery,
    message: Message,
    queue: str | Queue,
    *,
    most_bytes: int | None = None,
    headers: Mapping[str, object] | None = None,
) -> None:
    """Put a copy of `message` into `queue`; one that is given as a Queue is made if it is missing.

    The copy has the first `most_bytes` of the body, and `headers` instead of its own if given.

    Once more on a fresh connection (`task_publish_retry_policy`): the one in Celery's pool may have
    died unseen. Raises kombu's OperationalError; the copy may be in the queue all the same.
    """
    name = queue.name if isinstance(queue, Queue) else queue
    with app.producer_or_acquire() as producer, producer.connection._reraise_as_library_errors():

        def declare() -> None:
            # Not `declare=`, which kombu does once per connection: a queue may be removed.
            if isinstance(queue, Queue):
                queue(producer.channel).declare()

        def publish() -> None:
            declare()
            producer.publish(
                (message.body or b"")[:most_bytes],
                exchange="",
                routing_key=name,
                content_type=message.content_type or "application/octet-stream",
                content_encoding=message.content_encoding or "binary",
                headers=message.headers if headers is None else headers,
                correlation_id=message.properties.get("correlation_id"),
            )
            # RabbitMQ answers no publish; when it answers what comes next, it has the message.
            declare()

        producer.connection.ensure(producer, publish, **app.conf.task_publish_retry_policy)()

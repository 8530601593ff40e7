"""Messages of RabbitMQ whose properties cannot be read.

Works around amqp 5.4: such a message ends the worker, the broker hands it to the next one, and ends
that too.
"""

# mypy: allow-untyped-calls
# amqp ships no types.

import amqp.method_framing
from amqp.basic_message import Message
from amqp.exceptions import FrameSyntaxError

from worker.broker.messages import MALFORMED


class ReadableMessage(Message):  # type: ignore[misc]  # amqp ships no types
    """A message as it is read: without properties where they cannot be.

    amqp 5.4 reads tables by recursion, and times as Python has them: a header of a thousand tables
    within each other, or a time in milliseconds, was an error of the connection.
    """

    def _load_properties(self, class_id: int, buf: bytes, offset: int) -> int:
        try:
            return int(super()._load_properties(class_id, buf, offset))
        except (FrameSyntaxError, OSError, *MALFORMED):
            # A task without a name: it goes to the quarantine, not to those that Celery deletes.
            self.properties = {"application_headers": {"task": None}}
            return offset


def read_any_message() -> None:
    """Let no message of RabbitMQ end a connection of this process. Safe to repeat."""
    vars(amqp.method_framing)["Message"] = ReadableMessage

"""Celery's consumer, which here sends its task events in batches and outlives broken messages."""

from collections.abc import Callable

from celery.worker.consumer import Consumer
from kombu.message import Message

from tasks.job.envelope_size import BROKER_FACTOR
from tasks.process.broker_names import other_prefix
from tasks.process.configuration import load_settings
from worker.broker.foreign import send_home
from worker.broker.messages import MALFORMED, check_size, has_sound_headers
from worker.broker.rabbitmq import is_lost, set_aside

EVENTS_EVERY_S = 0.1
EVENTS_TOGETHER = 500
NOT_SHOWN = "not shown"
"""In the place of a body that Celery 5.7.0 writes to the log: it may be somebody's words."""


class GriotConsumer(Consumer):  # type: ignore[misc]  # Celery ships no types
    """Task events wait up to EVENTS_EVERY_S, or until there are EVENTS_TOGETHER, and go together.

    Celery 5.7.0 publishes at the next turn of its loop and so nearly each event by itself, which
    was a tenth of a worker's CPU; in portions of its own limit, 24, they still are a twentieth.

    A message that cannot be handled goes to the quarantine of its queue: of a Redis broker the
    transport sees to that, of RabbitMQ this class.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if self.hub is not None:
            self.hub.call_repeatedly(EVENTS_EVERY_S, self._flush_events)

    def on_send_event_buffered(self) -> None:
        """Nothing: the timer sends it."""
        self.event_dispatcher.buffer_limit = EVENTS_TOGETHER

    def create_task_handler(self, *args: object, **kwargs: object) -> Callable[[Message], None]:
        """What is called with each message."""
        handle: Callable[[Message], None] = super().create_task_handler(*args, **kwargs)
        settings = load_settings()
        names, most_bytes = settings.names, settings.max_envelope_bytes * BROKER_FACTOR

        def handle_ours(message: Message) -> None:
            if (prefix := other_prefix(message.headers, names)) is None:
                handle(message)
            else:
                send_home(self.app, message, prefix)

        def handle_or_set_aside(message: Message) -> None:
            try:
                if not has_sound_headers({"headers": message.headers or {}}):
                    raise TypeError("its headers are not those of a message")
                check_size(message.body or b"", most_bytes)
                handle_ours(message)
            except MALFORMED as error:
                if message.acknowledged:
                    raise
                set_aside(self.app, message, error)

        return handle_or_set_aside if self._is_amqp else handle_ours

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Put aside a message whose body cannot be decoded. Celery's own logs the body."""
        if not self._is_amqp:
            raise ValueError("the body cannot be decoded") from exc
        set_aside(self.app, message, exc)

    def on_invalid_task(self, body: object, message: Message, exc: Exception) -> None:
        """Refuse a message whose task cannot be run, such as one with an `eta` that is no time."""
        super().on_invalid_task(NOT_SHOWN, message, exc)

    def on_unknown_task(self, body: object, message: Message, exc: Exception) -> None:
        """Refuse a message of a task that nobody here knows; its result is that failure."""
        for representation in ("argsrepr", "kwargsrepr"):
            message.headers.pop(representation, None)
        super().on_unknown_task(NOT_SHOWN, message, exc)

    def _message_report(self, body: object, message: Message) -> str:
        return f"a message of {len(message.body or b'')} bytes, {NOT_SHOWN}"

    def call_soon_ack(self, ack: Callable[..., None], *args: object) -> None:
        """Acknowledge or reject a message, `ack` being a method of it, on the consumer's thread.

        Celery 5.7.0 logs it as critical, with a traceback, when the connection is gone that the
        message came over; RabbitMQ then delivers it again.
        """
        message = getattr(ack, "__self__", None)
        if not (self._is_amqp and isinstance(message, Message) and is_lost(message)):
            super().call_soon_ack(ack, *args)

    def shutdown(self) -> None:
        """Send what still waits, then end."""
        self._flush_events()
        super().shutdown()

    @property
    def _is_amqp(self) -> bool:
        return bool(self.conninfo.transport.driver_type == "amqp")

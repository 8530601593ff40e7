"""Celery's consumer, which here sends its task events in batches and outlives broken messages."""

import logging
from collections.abc import Callable

from celery import signals
from celery.app.task import Context
from celery.exceptions import NotRegistered
from celery.worker.consumer import Consumer
from kombu.message import Message

from memory.quoting import quoted
from tasks.job.envelope_size import BROKER_FACTOR
from tasks.process.broker_names import other_prefix
from tasks.process.configuration import load_settings
from worker.broker.foreign import send_home
from worker.broker.handover import Handover
from worker.broker.messages import MALFORMED, check_size, has_sound_headers
from worker.broker.rabbitmq import is_lost, set_aside
from worker.pool import LoopPool

EVENTS_EVERY_S = 0.1
EVENTS_TOGETHER = 500
LOOK = "check who sends to this worker's queues"
BUILT_IN = frozenset(
    f"celery.{name}"
    for name in ("accumulate", "backend_cleanup", "chain", "chord", "chunks", "group", "map")
) | {"celery.starmap"}
"""Celery's own tasks but `chord_unlock`. They would run a chat task's body past its mailbox, or
are for other result backends than ours."""

logger = logging.getLogger(__name__)


class GriotConsumer(Consumer):  # type: ignore[misc]  # Celery ships no types
    """Task events wait up to EVENTS_EVERY_S, or until there are EVENTS_TOGETHER, and go together.

    Celery 5.7.0 publishes at the next turn of its loop and so nearly each event by itself, which
    was a tenth of a worker's CPU; in portions of its own limit, 24, they still are a twentieth.

    A message that cannot be handled goes to the quarantine of its queue: of a Redis broker the
    transport sees to that, of RabbitMQ this class.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._is_flush_due = False

    def on_send_event_buffered(self) -> None:
        """Have a timer send it: one that runs only where there is something to send, for each look
        wakes the process. Called in any thread."""
        self.event_dispatcher.buffer_limit = EVENTS_TOGETHER
        if not self._is_flush_due and self.hub is not None:
            self._is_flush_due = True
            self.hub.call_soon(self.hub.call_later, EVENTS_EVERY_S, self._flush_due)

    def _flush_due(self) -> None:
        self._is_flush_due = False  # first: what cannot be sent now goes with the next event
        self._flush_events()

    def on_ready(self) -> None:
        """Connected, perhaps again: a timer of the connection before may be gone."""
        self._is_flush_due = False
        super().on_ready()

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

    def update_strategies(self) -> None:
        """Set up how each task's messages are handled; those of Celery's own are refused."""
        super().update_strategies()
        for name in BUILT_IN:
            self.strategies.pop(name, None)
        if isinstance(self.pool, LoopPool):
            self.pool.hand_over = Handover(self)

    def on_invalid_task(self, body: object, message: Message, exc: Exception) -> None:
        """Refuse a message whose task cannot be run, such as one with an `eta` that is no time."""
        kind = type(exc).__name__
        logger.error("%s cannot be run (%s) and was refused; %s", _told(message), kind, LOOK)
        message.reject_log_error(logger, self.connection_errors)
        signals.task_rejected.send(sender=self, message=message, exc=exc)

    def on_unknown_message(self, body: object, message: Message) -> None:
        """Refuse a message that is of none of Celery's protocols."""
        logger.error("%s names no task and was refused; %s", _told(message), LOOK)
        message.reject_log_error(logger, self.connection_errors)
        signals.task_rejected.send(sender=self, message=message, exc=None)

    def on_unknown_task(self, body: object, message: Message, exc: Exception) -> None:
        """Refuse a message of a task that nobody here knows; its result is that failure."""
        # Of Celery's first protocol, which has no headers, name and id are in the body.
        found = message.headers if "task" in message.headers else message.payload
        name, job_id = found["task"], found["id"]
        logger.error("%s names a task that is unknown here; %s", _told(message), LOOK)
        message.reject_log_error(logger, self.connection_errors)
        failure = NotRegistered(quoted(name).strip("'"))
        self.app.backend.mark_as_failure(job_id, failure, request=Context(id=job_id))
        if self.event_dispatcher is not None:
            self.event_dispatcher.send("task-failed", uuid=job_id, exception=repr(failure))
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=job_id)

    def call_soon_ack(self, ack: Callable[..., None], *args: object) -> None:
        """Acknowledge or reject a message, `ack` being a method of it, on the consumer's thread; a
        wake-up at once, if that thread need not be woken for it.

        Celery 5.7.0 logs it as critical, with a traceback, when the connection is gone that the
        message came over; RabbitMQ then delivers it again.
        """
        message = getattr(ack, "__self__", None)
        if not isinstance(message, Message) or not self._acknowledge_now(message, ack):
            super().call_soon_ack(ack, *args)

    def _acknowledge_now(self, message: Message, ack: Callable[..., None]) -> bool:
        if self._is_amqp:
            return is_lost(message)
        is_ack = ack == message.ack_log_error
        return is_ack and bool(message.channel.qos.let_go(message.delivery_tag))

    def shutdown(self) -> None:
        """Send what still waits, then end."""
        self._flush_events()
        super().shutdown()

    @property
    def _is_amqp(self) -> bool:
        return bool(self.conninfo.transport.driver_type == "amqp")


def _told(message: Message) -> str:
    """A message as the log shows it. Celery 5.7.0 writes all of it, which is somebody's words."""
    name = (message.headers or {}).get("task")
    of_task = "" if name is None else f" of the task {quoted(name)}"
    return f"a message of {len(message.body or b'')} bytes{of_task}"

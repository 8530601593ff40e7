"""A chat job's message, as Celery makes and sends it."""

# mypy: allow-untyped-calls
# Kombu says it is typed, but its transports are not.

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from celery import Celery
from kombu.messaging import Producer

from memory.priority import Priority
from tasks.job.envelope import CALLBACK_OPTIONS
from tasks.job.priority import number_of
from tasks.process.configuration import load_settings

# What Celery's message format takes by itself (celery.app.amqp.AMQP.as_task_v2 of 5.7.0); all other
# options say how the message is sent.
_MESSAGE_OPTIONS = frozenset(
    {
        "reply_to",
        "shadow",
        "stamped_headers",
        "replaced_task_nesting",
    }
)


# Not frozen, as `Command` is not.
@dataclass(slots=True)
class Message:
    """What a message says, and how urgent it is."""

    task: str
    job_id: str
    kwargs: Mapping[str, object] = field(repr=False)
    shown: str
    """What monitors may show of the arguments."""
    headers: Mapping[str, object]
    priority: Priority | None = None


@contextmanager
def kombu_producer(app: Celery) -> Iterator[Producer]:
    """What publishes; its broker's errors are kombu's OperationalError within the block."""
    with app.producer_or_acquire() as producer, producer.connection._reraise_as_library_errors():
        yield producer


def send(
    app: Celery,
    producer: Producer,
    message: Message,
    options: Mapping[str, object],
    **timing: object,
) -> None:
    """Publish a message with the Celery options of its job. Raises what kombu raises."""
    # What follows the job lies in its mailbox (docs/decisions.md, "One outbox").
    names = options.keys() - CALLBACK_OPTIONS
    of_message = {name: options[name] for name in _MESSAGE_OPTIONS & names}
    of_sending = {name: options[name] for name in names - _MESSAGE_OPTIONS}
    made = app.amqp.create_task_message(
        message.job_id,
        message.task,
        (),
        dict(message.kwargs),
        argsrepr="()",
        kwargsrepr=message.shown,
        **timing,
        **{"root_id": options.get("root_id") or message.job_id, **of_message},
    )
    placed = _placed(of_sending, message.priority)
    given = placed.pop("headers", None)
    headers = {**(given if isinstance(given, dict) else {}), **message.headers}
    app.amqp.send_task_message(producer, message.task, made, **placed, headers=headers)


def recorded(producer: Producer, publish: Callable[[], object]) -> tuple[str, str] | None:
    """The list and the element that `publish` would add to it; None where it is not one LPUSH.

    What it declares is declared. Raises what `publish` raises.
    """
    recorder, local = _Recorder(), producer._batch_local
    local.current = recorder
    try:
        publish()
    finally:
        del local.current
    match recorder.commands:
        case [("lpush", str(key), str(element))]:
            return recorder.prefix + key, element
    return None


def queue_of(options: Mapping[str, object]) -> object:
    """The queue of a job that was sent with these options, by its name in this deployment."""
    names, queue = load_settings().names, options.get("queue")
    return names.queue(queue) if isinstance(queue, str) else queue or names.chat


def _placed(of_sending: dict[str, object], priority: Priority | None) -> dict[str, object]:
    """The same with the name that the queue has in this deployment, and the class's place in it."""
    # An older version kept Celery's own among the options.
    of_sending.pop("priority", None)
    number = number_of(priority or Priority.NORMAL, is_rabbitmq=load_settings().is_rabbitmq)
    place = {} if number is None else {"priority": number}
    return {**of_sending, **place, "queue": queue_of(of_sending)}


class _Recorder:
    """Takes the place of kombu 5.7.0's batch, and keeps the commands."""

    def __init__(self) -> None:
        self.commands: list[tuple[object, ...]] = []
        self.prefix = ""

    def publish(self, channel: object, message: object, **options: object) -> None:
        """Have the channel say what it would send."""
        self.prefix = str(getattr(channel, "global_keyprefix", ""))
        named = {name: options[name] for name in ("exchange", "routing_key")}
        channel.basic_publish(message, **named, _publish_batch=self)  # type: ignore[attr-defined]

    def add(self, *command: object) -> None:
        """One command."""
        self.commands.append(command)

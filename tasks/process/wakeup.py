"""Publishing wake-ups: the Celery message that has a worker look at a mailbox.

A wake-up carries no text of the conversation. It may be lost, doubled or late: the mailbox decides.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from celery import Celery
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.messaging import Producer
from pydantic import JsonValue

from memory import CannotRead, JobToWake, NewerFormat, SessionKeys
from memory.ids import is_id, shown_id
from memory.quoting import quoted
from tasks.end.callbacks import UNSENDABLE
from tasks.errors import InvalidJob
from tasks.job.envelope import CALLBACK_OPTIONS, Envelope, celery_options_of
from tasks.process.broker_names import PREFIX_HEADER
from tasks.process.configuration import load_settings
from tasks.process.redis_clock import redis_clock
from telemetry import tracing

logger = logging.getLogger(__name__)

CHAT_TASK = "tasks.chat_task"
DUE_HEADER = "griot_due_at"
"""Header of our messages: when the task is to start, Unix time in seconds by Redis' clock; a sender
that does not know that clock yet leaves it out."""
WAKEUP_HEADER = "griot_wakeup"
"""Header of a message whose loss costs seconds: its job lies in the mailbox."""

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


def wake(app: Celery, keys: SessionKeys, waiting: JobToWake | None) -> bool:
    """Publish the wake-up of the job at the head of a mailbox, if there is one.

    A failure is logged and harmless: the sweeper finds the mailbox. False if so.
    """
    if waiting is None:
        return True
    try:
        envelope = Envelope.of(keys, waiting)
    except NewerFormat:
        # Its queue and the like are where they were, and a newer worker hears of it there.
        return wake_job(app, keys, waiting.job_id, None, celery_options_of(keys, waiting))
    except (InvalidJob, CannotRead):
        # Wake it all the same: the worker makes it a dead letter, and the session goes on; or the
        # worker has the key, or says that it has not.
        envelope = None
    return wake_job(app, keys, waiting.job_id, envelope)


def wake_job(
    app: Celery,
    keys: SessionKeys,
    job_id: str,
    envelope: Envelope | None,
    known: Mapping[str, JsonValue] | None = None,
) -> bool:
    """`wake` for a job whose envelope is at hand; None: it cannot be read, and of its Celery
    options only these are `known`."""
    options = envelope.publish if envelope else known or {}
    trace = envelope.trace if envelope else None
    kwargs = wakeup_kwargs(keys, envelope.job.max_history if envelope else None)
    try:
        try:
            publish(app, job_id, kwargs, options, trace=trace)
        except UNSENDABLE as exc:
            kind = type(exc).__name__
            logger.warning(
                "job %s is woken without its Celery options, which could not be sent: %s",
                shown_id(job_id),
                kind,
            )
            publish(app, job_id, kwargs, {}, trace=trace)
    except OperationalError as exc:
        logger.warning(
            "the wake-up of job %s was not published; the sweeper will publish it: %s",
            shown_id(job_id),
            exc,
        )
        return False
    return True


def wake_jobs(app: Celery, jobs: Sequence[tuple[SessionKeys, str, Envelope]]) -> None:
    """`wake_job` for the heads of several mailboxes, all of them jobs without Celery options."""
    waiting = [
        (job_id, wakeup_kwargs(keys, envelope.job.max_history), envelope.trace)
        for keys, job_id, envelope in jobs
    ]
    try:
        publish_together(app, waiting)
    except (OperationalError, BatchPublishError, RuntimeError) as exc:
        # Of a connection that is lost in between, kombu 5.7.0 says RuntimeError. One by one it
        # is opened again, and tried as often as Celery's policy says; a second wake-up is harmless.
        logger.info("%d wake-ups are published one by one: %s", len(jobs), type(exc).__name__)
        for keys, job_id, envelope in jobs:
            wake_job(app, keys, job_id, envelope)


def wakeup_kwargs(keys: SessionKeys, max_history: int | None) -> dict[str, object]:
    """The arguments of a wake-up: where to look, and how much history to bring."""
    kwargs: dict[str, object] = {"agent_id": keys.agent_id, "session_id": keys.session_id}
    if max_history is not None:
        kwargs["max_history"] = max_history
    return kwargs


def publish(
    app: Celery,
    job_id: str,
    kwargs: Mapping[str, object],
    options: Mapping[str, object],
    *,
    retries: int = 0,
    countdown_s: float | None = None,
    trace: tracing.Carrier | None = None,
) -> None:
    """Publish one message for `job_id`; `worker.pool` takes it. Raises kombu's OperationalError.

    `trace` is the job's own place: who publishes is often about another job.

    Not through `Celery.send_task`: that subscribes the process to the result (a worker would
    gather subscriptions without end) and makes whatever task happens to publish the parent
    (docs/decisions.md, "Wake-ups are published below Celery.send_task").
    """
    with (
        app.producer_or_acquire() as producer,
        producer.connection._reraise_as_library_errors(),
        tracing.at(trace or {}),
    ):
        _send(app, producer, job_id, kwargs, options, retries=retries, countdown_s=countdown_s)


def publish_together(
    app: Celery,
    waiting: Iterable[tuple[str, Mapping[str, object], tracing.Carrier | None]],
) -> None:
    """Publish the wake-ups of several jobs, by id with their arguments, in one round trip where the
    broker is Redis. Raises kombu's OperationalError or BatchPublishError, or RuntimeError: some of
    them may be out."""
    with (
        app.producer_or_acquire() as producer,
        producer.connection._reraise_as_library_errors(),
        producer.batch(),
    ):
        for job_id, kwargs, trace in waiting:
            with tracing.at(trace or {}):
                _send(app, producer, job_id, kwargs, {})


def _send(
    app: Celery,
    producer: Producer,
    job_id: str,
    kwargs: Mapping[str, object],
    options: Mapping[str, object],
    *,
    retries: int = 0,
    countdown_s: float | None = None,
) -> None:
    # What follows the job lies in its mailbox (docs/decisions.md, "One outbox").
    names = options.keys() - CALLBACK_OPTIONS
    of_message = {name: options[name] for name in _MESSAGE_OPTIONS & names}
    of_sending = _placed({name: options[name] for name in names - _MESSAGE_OPTIONS})
    message = app.amqp.create_task_message(
        job_id,
        CHAT_TASK,
        (),
        dict(kwargs),
        retries=retries,
        countdown=countdown_s,
        argsrepr="()",
        kwargsrepr=repr_of(kwargs),
        **{"root_id": options.get("root_id") or job_id, **of_message},
    )
    given = of_sending.pop("headers", None)
    headers = {**(given if isinstance(given, dict) else {}), **tracing.carrier()}
    headers |= wakeup_headers(countdown_s or 0.0)
    if "message" in kwargs:
        del headers[WAKEUP_HEADER]
    app.amqp.send_task_message(producer, CHAT_TASK, message, **of_sending, headers=headers)


def _placed(of_sending: dict[str, object]) -> dict[str, object]:
    """The same with the name that the queue has in this deployment."""
    return {**of_sending, "queue": queue_of(of_sending)}


def queue_of(options: Mapping[str, object]) -> object:
    """The queue of a job that was sent with these options, by its name in this deployment."""
    names, queue = load_settings().names, options.get("queue")
    return names.queue(queue) if isinstance(queue, str) else queue or names.chat


def wakeup_headers(countdown_s: float = 0.0) -> dict[str, object]:
    """What a wake-up has of our own among its headers, due after that time."""
    now_s = redis_clock().now_s
    due: dict[str, object] = {} if now_s is None else {DUE_HEADER: now_s + countdown_s}
    # docs/decisions.md, "A wake-up is not recorded as unacknowledged".
    return {**due, PREFIX_HEADER: load_settings().names.key_prefix, WAKEUP_HEADER: True}


def is_wakeup(headers: Mapping[str, object] | None) -> bool:
    """Whether a message with these headers is a wake-up of ours: losing it costs seconds."""
    return headers is not None and headers.get(WAKEUP_HEADER) is True


def repr_of(kwargs: Mapping[str, object]) -> str:
    """What monitors may show of a chat job's arguments: whose conversation, never its text."""
    return repr({name: _shown(kwargs.get(name)) for name in ("agent_id", "session_id")})


def _shown(value: object) -> object:
    return value if isinstance(value, str) and is_id(value) else quoted(value)

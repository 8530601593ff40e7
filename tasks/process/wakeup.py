"""Publishing wake-ups: the Celery message that has a worker look at a mailbox.

A wake-up carries no text of the conversation. It may be lost, doubled or late: the mailbox decides.
"""

import logging
from collections.abc import Mapping, Sequence

from celery import Celery
from kombu.exceptions import BatchPublishError, OperationalError
from pydantic import JsonValue

from memory import CannotRead, Command, JobToWake, NewerFormat, SessionKeys
from memory.ids import is_id, shown_id
from memory.priority import Priority
from memory.quoting import quoted
from tasks.end.callbacks import UNSENDABLE
from tasks.errors import InvalidJob
from tasks.job.envelope import CALLBACK_OPTIONS, Envelope, celery_options_of
from tasks.job.priority import of_number
from tasks.process.app import app as griot_app
from tasks.process.broker_names import PREFIX_HEADER
from tasks.process.configuration import load_settings
from tasks.process.publishing.message import Message, kombu_producer, queue_of, recorded, send
from tasks.process.publishing.straight import straight
from tasks.process.redis_clock import redis_clock
from telemetry import tracing

logger = logging.getLogger(__name__)

CHAT_TASK = "tasks.chat_task"
DUE_HEADER = "griot_due_at"
"""Header of our messages: when the task is to start, Unix time in seconds by Redis' clock; a sender
that does not know that clock yet leaves it out."""
PRIORITY_HEADER = "griot_priority"
"""Header of our messages: how urgent the session is; a normal one leaves it out."""
WAKEUP_HEADER = "griot_wakeup"
"""Header of a message whose loss costs seconds: its job lies in the mailbox."""

_STRAIGHT_OPTIONS = CALLBACK_OPTIONS | {"queue"}
_VARYING_HEADERS = frozenset({DUE_HEADER, tracing.PARENT, tracing.STATE})
_ID, _ROOT, _SHOWN = "id", "root_id", "kwargsrepr"


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
        known = celery_options_of(keys, waiting)
        return wake_job(app, keys, waiting.job_id, None, known, priority=waiting.priority)
    except (InvalidJob, CannotRead):
        # Wake it all the same: the worker makes it a dead letter, and the session goes on; or the
        # worker has the key, or says that it has not.
        envelope = None
    return wake_job(app, keys, waiting.job_id, envelope, priority=waiting.priority)


def wake_job(
    app: Celery,
    keys: SessionKeys,
    job_id: str,
    envelope: Envelope | None,
    known: Mapping[str, JsonValue] | None = None,
    *,
    priority: Priority | None = None,
) -> bool:
    """`wake` for a job whose envelope is at hand; None: it cannot be read, and of its Celery
    options only these are `known`. `priority` is that of its session; None: its own."""
    priority = priority or (envelope.job.priority if envelope else None)
    options = envelope.publish if envelope else known or {}
    trace = envelope.trace if envelope else None
    kwargs = wakeup_kwargs(keys, envelope.job.max_history if envelope else None)
    try:
        try:
            publish(app, job_id, kwargs, options, trace=trace, priority=priority)
        except UNSENDABLE as exc:
            kind = type(exc).__name__
            logger.warning(
                "job %s is woken without its Celery options, which could not be sent: %s",
                shown_id(job_id),
                kind,
            )
            publish(app, job_id, kwargs, {}, trace=trace, priority=priority)
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
        (
            job_id,
            wakeup_kwargs(keys, envelope.job.max_history),
            envelope.trace,
            envelope.job.priority,
        )
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
    priority: Priority | None = None,
) -> None:
    """Publish one message for `job_id`; `worker.pool` takes it. Raises kombu's OperationalError.

    `trace` is the job's own place: who publishes is often about another job. `priority` says before
    which others a worker takes it; None: normal.

    Not through `Celery.send_task`: that subscribes the process to the result (a worker would
    gather subscriptions without end) and makes whatever task happens to publish the parent
    (docs/decisions.md, "Wake-ups are published below Celery.send_task").
    """
    said = _message(job_id, kwargs, trace, priority, countdown_s or 0.0)
    if not retries and countdown_s is None:
        command = _straight(app, said, options)
        if command is not None:
            straight().send((command,))
            return
    with kombu_producer(app) as producer:
        send(app, producer, said, options, retries=retries, countdown=countdown_s)


def publish_together(
    app: Celery,
    waiting: Sequence[tuple[str, Mapping[str, object], tracing.Carrier | None, Priority | None]],
) -> None:
    """Publish the wake-ups of several jobs, by id with their arguments, in one round trip where the
    broker is Redis. Raises kombu's OperationalError or BatchPublishError, or RuntimeError: some of
    them may be out."""
    messages = [_message(*one) for one in waiting]
    commands = [command for said in messages if (command := _straight(app, said, {})) is not None]
    if len(commands) == len(messages):
        straight().send(commands)
        return
    with kombu_producer(app) as producer, producer.batch():
        for said in messages:
            send(app, producer, said, {})


def _message(
    job_id: str,
    kwargs: Mapping[str, object],
    trace: tracing.Carrier | None,
    priority: Priority | None,
    countdown_s: float = 0.0,
) -> Message:
    headers = {**tracing.checked(trace), **wakeup_headers(countdown_s, priority)}
    if "message" in kwargs:
        del headers[WAKEUP_HEADER]
    return Message(CHAT_TASK, job_id, kwargs, repr_of(kwargs), headers, priority)


def _straight(app: Celery, said: Message, options: Mapping[str, object]) -> Command[None] | None:
    """The command that publishes a wake-up without Celery; None where Celery is to publish it."""
    kwargs, headers = said.kwargs, said.headers
    if app is not griot_app or not (options.keys() <= _STRAIGHT_OPTIONS) or "message" in kwargs:
        return None
    queue, root_id = queue_of(options), options.get("root_id") or said.job_id
    varying = {name: headers[name] for name in _VARYING_HEADERS & headers.keys()}
    values = {_ID: said.job_id, _ROOT: root_id, _SHOWN: said.shown, **kwargs, **varying}

    def make(marks: Mapping[str, str]) -> tuple[str, str] | None:
        marked = {name: marks[name] for name in kwargs}
        own = {name: marks.get(name, value) for name, value in headers.items()}
        of_shape = Message(said.task, marks[_ID], marked, marks[_SHOWN], own, said.priority)
        placed = {"queue": queue, "root_id": marks[_ROOT]}
        with kombu_producer(app) as producer:
            return recorded(producer, lambda: send(app, producer, of_shape, placed))

    return straight().command((queue, said.priority), values, make)


def wakeup_headers(countdown_s: float = 0.0, priority: Priority | None = None) -> dict[str, object]:
    """What a wake-up has of our own among its headers, due after that time."""
    now_s = redis_clock().now_s
    due: dict[str, object] = {} if now_s is None else {DUE_HEADER: now_s + countdown_s}
    # docs/decisions.md, "A wake-up is not recorded as unacknowledged".
    urgency: dict[str, object] = {}
    if priority not in (None, Priority.NORMAL):
        urgency[PRIORITY_HEADER] = str(priority)
    ours = {PREFIX_HEADER: load_settings().names.key_prefix, WAKEUP_HEADER: True}
    return {**due, **urgency, **ours}


def priority_in(headers: Mapping[str, object] | None) -> Priority:
    """Before which others a message with these headers is to be handled: a wake-up says so, of any
    other the number does."""
    named = (headers or {}).get(PRIORITY_HEADER)
    if isinstance(named, str) and named in set(Priority):
        return Priority(named)
    found = of_number(number_in(headers or {}), is_rabbitmq=load_settings().is_rabbitmq)
    return found or Priority.NORMAL


def number_in(message: Mapping[str, object]) -> object:
    """Celery's number of a message, as a received one has it; what it is not, nobody knows."""
    info = message.get("delivery_info")
    return info.get("priority") if isinstance(info, Mapping) else None


def is_wakeup(headers: Mapping[str, object] | None) -> bool:
    """Whether a message with these headers is a wake-up of ours: losing it costs seconds."""
    return headers is not None and headers.get(WAKEUP_HEADER) is True


def repr_of(kwargs: Mapping[str, object]) -> str:
    """What monitors may show of a chat job's arguments: whose conversation, never its text."""
    agent, session = _shown(kwargs.get("agent_id")), _shown(kwargs.get("session_id"))
    return f"{{'agent_id': {agent!r}, 'session_id': {session!r}}}"


def _shown(value: object) -> object:
    return value if isinstance(value, str) and is_id(value) else quoted(value)

"""Handing a session's next job over within the process, without a message through the broker.

Celery sees a message as any other, so events, `inspect`, revokes and log lines are its own. Who
dies with a job in hand is as one who dies before the wake-up is published: the sweeper finds the
mailbox (docs/decisions.md, "The next job of a session is handed over").
"""

from dataclasses import dataclass
from typing import ClassVar

from celery import signals
from celery.worker.consumer import Consumer
from celery.worker.request import noop

from memory import CannotRead, JobToWake, Priority, SessionKeys
from tasks.errors import InvalidJob
from tasks.job.envelope import Envelope
from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.publishing.message import queue_of
from tasks.process.wakeup import CHAT_TASK, repr_of, wakeup_headers, wakeup_kwargs


@dataclass(frozen=True, slots=True)
class LocalMessage:
    """A wake-up as Celery's request for it reads a message; `body` is decoded already."""

    headers: dict[str, object]
    body: tuple[tuple[()], dict[str, object], None]
    delivery_info: dict[str, object]
    content_type = content_encoding = None
    properties: ClassVar[dict[str, object]] = {}

    @property
    def payload(self) -> tuple[tuple[()], dict[str, object], None]:
        """The same: arguments, named arguments, and what follows, which lies in the mailbox."""
        return self.body


class Handover:
    """Has Celery's consumer take jobs as if their wake-ups had come."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def __call__(self, keys: SessionKeys, waiting: JobToWake) -> bool:
        """Take the job at the head of a mailbox on; from any thread. False: its wake-up is to be
        published, for this worker may not run it, or not now."""
        consumer, job_id = self._consumer, waiting.job_id
        is_limited = consumer.task_buckets[CHAT_TASK] is not None
        if is_limited or signals.task_received.receivers:
            return False  # for the consumer's thread only
        if job_id in consumer.controller.state.revoked:
            return False  # as well: its mailbox is asked
        try:
            envelope = Envelope.of(keys, waiting)
        except (InvalidJob, CannotRead):
            return False
        queue, tasks = queue_of(envelope.publish), consumer.task_consumer
        is_plain = isinstance(queue, str) and not envelope.publish.keys() - {"queue"}
        if not (is_plain and tasks and tasks.consuming_from(queue)):
            return False
        priority = waiting.priority or envelope.job.priority
        message = _message(job_id, keys, envelope, str(queue), priority)
        strategy = consumer.strategies[CHAT_TASK]
        crash_if_armed(CrashPoint.BEFORE_WAKE)
        strategy(message, None, noop, noop, consumer.on_task_message)
        return True


def _message(
    job_id: str, keys: SessionKeys, envelope: Envelope, queue: str, priority: Priority | None
) -> LocalMessage:
    kwargs = wakeup_kwargs(keys, envelope.job.max_history)
    named = {"task": CHAT_TASK, "id": job_id, "root_id": job_id, "lang": "py", "retries": 0}
    shown = {"argsrepr": "()", "kwargsrepr": repr_of(kwargs)}
    headers = {**named, **shown, **(envelope.trace or {}), **wakeup_headers(priority=priority)}
    return LocalMessage(headers, ((), kwargs, None), {"exchange": "", "routing_key": queue})

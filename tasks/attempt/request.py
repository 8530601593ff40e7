"""How a worker sees the message of a chat job: without the text of the conversation."""

import os
from datetime import datetime

from celery.exceptions import Ignore

from tasks.process.crash_points import CrashPoint, crash_if_armed
from tasks.process.received import UnshownRequest
from tasks.process.wakeup import repr_of
from tasks.process.worker.services import worker_services

NO_LIMITS = (None, None)
"""Of Celery's pool: the hard one and the soft one."""


class MessageIsOver:
    """Said to a request in the place of Celery's ExceptionInfo: another message will come for its
    job."""

    def __init__(self, reason: str) -> None:
        self.exception = Ignore(reason)


class ChatTaskRequest(UnshownRequest):
    """A received chat job.

    A raw `send_task` brings representations of its arguments made by a foreign sender, text
    included; they go to events, logs and Flower. Here they are replaced on receipt.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        named = dict(zip(("agent_id", "session_id"), self._args or (), strict=False))
        self._show("()", repr_of({**named, **(self._kwargs or {})}))
        # The mailbox decides: a message that Celery drops would leave its job waiting.
        expires = getattr(self, "expires", None)
        if isinstance(expires, datetime):
            self._request_dict["expires"] = expires.isoformat()
            self.expires = None
        # Celery would kill a process for it, and with it all its other turns; the job has it.
        limits = self._request_dict.get("timelimit")
        if isinstance(limits, list | tuple) and len(limits) == len(NO_LIMITS):
            self.time_limits = NO_LIMITS

    def acknowledge(self) -> None:
        """Tell the broker that the task is over."""
        crash_if_armed(CrashPoint.BEFORE_ACK)
        super().acknowledge()

    def on_failure(self, exc_info: object, *args: object, **options: object) -> None:
        """Note that the task has ended without a result."""
        if isinstance(exc_info, MessageIsOver):
            # As tasks.attempt.body has it: Flower would show the task as running for ever.
            reason = str(exc_info.exception)
            self.send_event("task-retried", exception=reason, traceback="")
        super().on_failure(exc_info, *args, **options)

    def terminate(self, pool: object, signal: object = None) -> None:
        """Obey `control.revoke(..., terminate=True)`: cancel the job, waiting or running.

        Its mailbox does that (`task_revoked`), where the job has no process of its own.
        """
        if self._has_process:
            super().terminate(pool, signal)
        else:
            self._announce_revoked("terminated", True, signal, False)

    def cancel(self, pool: object, signal: object = None, **options: object) -> None:
        """Obey a cold shutdown (SIGQUIT, Ctrl-C again): give back what runs here, and at once."""
        if self._has_process:
            super().cancel(pool, signal, **options)
        else:
            worker = worker_services()
            worker.runtime.spawn(worker.leases.drain(0.0))

    @property
    def _has_process(self) -> bool:
        return self.worker_pid not in {None, os.getpid()}

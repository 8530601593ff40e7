"""The queue: `from tasks import chat_task` is all that a producer needs."""

from memory import Backpressure, Event, EventType, MemoryFull, OnBusy
from tasks.chat import ChatTask, chat_task
from tasks.errors import (
    ChatError,
    ConfigurationError,
    InvalidJob,
    JobConflict,
    JobErased,
    JobExpired,
    JobFailed,
    JobTimeout,
    LimitReached,
    NotAccepted,
    QuotaExceeded,
    SessionBusy,
)
from tasks.job.options import ChatArguments, ChatOptions, JobToSend
from tasks.job.result import ChatResult, Receipt, Timings, Usage
from tasks.many import send_many
from tasks.process.app import app
from tasks.submit import schedules
from tasks.submit.cancel import CancelOutcome
from tasks.submit.follow import follow, follow_job
from tasks.submit.job_result import JobResult
from tasks.submit.many import SendAnswer, SendOutcome

__all__ = [
    "Backpressure",
    "CancelOutcome",
    "ChatArguments",
    "ChatError",
    "ChatOptions",
    "ChatResult",
    "ChatTask",
    "ConfigurationError",
    "Event",
    "EventType",
    "InvalidJob",
    "JobConflict",
    "JobErased",
    "JobExpired",
    "JobFailed",
    "JobResult",
    "JobTimeout",
    "JobToSend",
    "LimitReached",
    "MemoryFull",
    "NotAccepted",
    "OnBusy",
    "QuotaExceeded",
    "Receipt",
    "SendAnswer",
    "SendOutcome",
    "SessionBusy",
    "Timings",
    "Usage",
    "app",
    "chat_task",
    "follow",
    "follow_job",
    "schedules",
    "send_many",
]

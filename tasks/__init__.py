"""The queue: `from tasks import chat_task` is all that a producer needs."""

from tasks.loading import uncollected

with uncollected():
    from memory import Backpressure, Event, EventType, MemoryFull, OnBusy, Priority
    from memory.pauses.pauses import Pause
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
    from tasks.overview.found_jobs import FoundJob, FoundJobs, JobState, find_jobs
    from tasks.overview.usage import UsageBy, UsageRow, usage
    from tasks.process.app import app
    from tasks.submit import schedules
    from tasks.submit.cancel import CancelOutcome
    from tasks.submit.drain import drain
    from tasks.submit.follow import follow, follow_job
    from tasks.submit.job_result import JobResult
    from tasks.submit.many import SendAnswer, SendOutcome
    from tasks.submit.pauses import pause, paused, resume

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
    "FoundJob",
    "FoundJobs",
    "InvalidJob",
    "JobConflict",
    "JobErased",
    "JobExpired",
    "JobFailed",
    "JobResult",
    "JobState",
    "JobTimeout",
    "JobToSend",
    "LimitReached",
    "MemoryFull",
    "NotAccepted",
    "OnBusy",
    "Pause",
    "Priority",
    "QuotaExceeded",
    "Receipt",
    "SendAnswer",
    "SendOutcome",
    "SessionBusy",
    "Timings",
    "Usage",
    "UsageBy",
    "UsageRow",
    "app",
    "chat_task",
    "drain",
    "find_jobs",
    "follow",
    "follow_job",
    "pause",
    "paused",
    "resume",
    "schedules",
    "send_many",
    "usage",
]

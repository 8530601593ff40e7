"""The queue: `from tasks import chat_task` is all that a producer needs."""

from memory import Backpressure, Event, EventType, MemoryFull, OnBusy
from tasks.beat.maintenance import (
    clean_stale_sessions,
    extend_active_sessions,
    snapshot_memory_stats,
)
from tasks.beat.sweep import sweep
from tasks.chat import chat_task
from tasks.errors import (
    ChatError,
    ConfigurationError,
    InvalidJob,
    JobCancelled,
    JobConflict,
    JobFailed,
    NotAccepted,
    SessionBusy,
)
from tasks.job.result import ChatResult, Timings, Usage
from tasks.process.app import app
from tasks.submit.cancel import CancelOutcome
from tasks.submit.follow import follow, follow_job

__all__ = [
    "Backpressure",
    "CancelOutcome",
    "ChatError",
    "ChatResult",
    "ConfigurationError",
    "Event",
    "EventType",
    "InvalidJob",
    "JobCancelled",
    "JobConflict",
    "JobFailed",
    "MemoryFull",
    "NotAccepted",
    "OnBusy",
    "SessionBusy",
    "Timings",
    "Usage",
    "app",
    "chat_task",
    "clean_stale_sessions",
    "extend_active_sessions",
    "follow",
    "follow_job",
    "snapshot_memory_stats",
    "sweep",
]

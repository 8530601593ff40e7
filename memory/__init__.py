"""The Redis memory: histories, agents' state, session data, mailboxes. Knows nothing of Celery."""

from memory import dead_letters, events, index, intake, owed, places, summary
from memory.aio import AsyncConnection
from memory.call import Call, forgiving
from memory.cleanup import CleanedUp
from memory.codec import decode_messages, encode_message
from memory.codes import Waiting
from memory.connection import Connection
from memory.due import Due, DueEntry
from memory.enqueued import Enqueued, EnqueueOutcome, Untold
from memory.errors import (
    Backpressure,
    CorruptData,
    CursorExpired,
    InvalidInput,
    MailboxError,
    MemoryBusy,
    MemoryFull,
    MemoryRefused,
    MemoryServiceError,
    MemoryUnavailable,
)
from memory.events import Event, EventType
from memory.factory import (
    create_redis_memory_from_config,
    get_redis_memory,
    reset_redis_memory,
)
from memory.history import is_cancelled
from memory.housekeeping import Extended, Housekeeping
from memory.intake import Carried, Intake, OnBusy, Request
from memory.keys import Keyspace, SessionKeys
from memory.last_attempt import LastAttempt
from memory.mailbox import Mailbox, locate
from memory.outcomes import (
    Acquired,
    AcquireOutcome,
    CleanOutcome,
    CommitOutcome,
    Committed,
    Discarded,
    DiscardOutcome,
    FailOutcome,
    StopOutcome,
    StopPolicy,
    SweepOutcome,
)
from memory.places import InLine, Occupancy, Places
from memory.service import RedisMemoryService
from memory.settings import MemorySettings
from memory.stats import MemoryStats, StatsPoint
from memory.tail import Tail

__all__ = [
    "AcquireOutcome",
    "Acquired",
    "AsyncConnection",
    "Backpressure",
    "Call",
    "Carried",
    "CleanOutcome",
    "CleanedUp",
    "CommitOutcome",
    "Committed",
    "Connection",
    "CorruptData",
    "CursorExpired",
    "DiscardOutcome",
    "Discarded",
    "Due",
    "DueEntry",
    "EnqueueOutcome",
    "Enqueued",
    "Event",
    "EventType",
    "Extended",
    "FailOutcome",
    "Housekeeping",
    "InLine",
    "Intake",
    "InvalidInput",
    "Keyspace",
    "LastAttempt",
    "Mailbox",
    "MailboxError",
    "MemoryBusy",
    "MemoryFull",
    "MemoryRefused",
    "MemoryServiceError",
    "MemorySettings",
    "MemoryStats",
    "MemoryUnavailable",
    "Occupancy",
    "OnBusy",
    "Places",
    "RedisMemoryService",
    "Request",
    "SessionKeys",
    "StatsPoint",
    "StopOutcome",
    "StopPolicy",
    "SweepOutcome",
    "Tail",
    "Untold",
    "Waiting",
    "create_redis_memory_from_config",
    "dead_letters",
    "decode_messages",
    "encode_message",
    "events",
    "forgiving",
    "get_redis_memory",
    "index",
    "intake",
    "is_cancelled",
    "locate",
    "owed",
    "places",
    "reset_redis_memory",
    "summary",
]

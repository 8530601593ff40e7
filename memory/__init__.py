"""The Redis memory: histories, agents' state, session data, mailboxes. Knows nothing of Celery."""

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
from memory.factory import (
    create_redis_memory_from_config,
    get_redis_memory,
    reset_redis_memory,
)
from memory.keys import Keyspace, SessionKeys
from memory.mailbox import dead_letters, intake, owed
from memory.mailbox.due import Due, DueEntry
from memory.mailbox.intake import (
    Enqueued,
    EnqueueOutcome,
    Intake,
    MergedEnvelope,
    OnBusy,
    Request,
    Untold,
)
from memory.mailbox.mailbox import Mailbox, locate
from memory.mailbox.outcomes import (
    Acquired,
    AcquireOutcome,
    CleanOutcome,
    CommitOutcome,
    Committed,
    Discarded,
    DiscardOutcome,
    JobToWake,
    StopPolicy,
    SweepOutcome,
)
from memory.records import events, index, summary, users
from memory.records.codec import decode_messages, encode_message
from memory.records.events import Event, EventType
from memory.records.history import is_cancelled
from memory.records.last_attempt import LastAttempt
from memory.records.stats import MemoryStats, StatsPoint
from memory.records.tail import Tail
from memory.records.users import UserSession, sessions_of_user
from memory.redis.async_connection import AsyncConnection
from memory.redis.command import Command, ignore_corrupt
from memory.redis.connection import Connection
from memory.service import RedisMemoryService
from memory.settings import MemorySettings
from memory.slots import slots
from memory.slots.slots import Occupancy, Slots, SlotWait
from memory.upkeep.cleanup import CleanedUp
from memory.upkeep.housekeeping import Extended, Housekeeping

__all__ = [
    "AcquireOutcome",
    "Acquired",
    "AsyncConnection",
    "Backpressure",
    "CleanOutcome",
    "CleanedUp",
    "Command",
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
    "Housekeeping",
    "Intake",
    "InvalidInput",
    "JobToWake",
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
    "MergedEnvelope",
    "Occupancy",
    "OnBusy",
    "RedisMemoryService",
    "Request",
    "SessionKeys",
    "SlotWait",
    "Slots",
    "StatsPoint",
    "StopPolicy",
    "SweepOutcome",
    "Tail",
    "Untold",
    "UserSession",
    "create_redis_memory_from_config",
    "dead_letters",
    "decode_messages",
    "encode_message",
    "events",
    "get_redis_memory",
    "ignore_corrupt",
    "index",
    "intake",
    "is_cancelled",
    "locate",
    "owed",
    "reset_redis_memory",
    "sessions_of_user",
    "slots",
    "summary",
    "users",
]

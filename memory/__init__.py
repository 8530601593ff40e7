"""The Redis memory: histories, agents' state, session data, mailboxes. Knows nothing of Celery."""

from importlib import import_module
from typing import TYPE_CHECKING

from memory.env_file import EnvSettings, check_env_file, is_service_port
from memory.errors import (
    ArchiveUnavailable,
    Backpressure,
    CannotDecrypt,
    CannotRead,
    CorruptData,
    CursorExpired,
    InvalidInput,
    MailboxError,
    MemoryBusy,
    MemoryFull,
    MemoryRefused,
    MemoryServiceError,
    MemoryUnavailable,
    NewerFormat,
)
from memory.keys import Keyspace, SessionKeys
from memory.mailbox import dead_letters, intake, outbox
from memory.mailbox.intake import (
    Claim,
    Enqueued,
    EnqueueOutcome,
    Intake,
    MergedEnvelope,
    OnBusy,
    Request,
)
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outbox import End, TakenEnds
from memory.mailbox.outcomes import (
    Acquired,
    AcquireOutcome,
    CleanOutcome,
    CommitOutcome,
    Committed,
    Discarded,
    DiscardOutcome,
    Ending,
    JobToWake,
    StopPolicy,
    SweepOutcome,
)
from memory.mailbox.pointer import keep_pointer, locate, unclaim
from memory.priority import Priority
from memory.records import events, index
from memory.records.codec import decode_messages, encode_message
from memory.records.event import Event, EventType
from memory.records.history import is_cancelled
from memory.redis.command import Command, ignore_corrupt
from memory.redis.connection import Connection
from memory.redis.endpoint import redis_tls, sentinel_options, tls_options
from memory.settings import MemorySettings

if TYPE_CHECKING:
    from memory.archive.archiver import Archiver, ArchiveRun
    from memory.archive.file import ArchiveFile
    from memory.archive.store import Leaving
    from memory.factory import create_redis_memory_from_config, get_redis_memory, reset_redis_memory
    from memory.mailbox.due import Due
    from memory.mailbox.due_list import DueEntry
    from memory.mailbox.words import decrypted_envelope
    from memory.outages.outages import LookOutcome, NotedOutcome, Outage, ServerOutage, servers_away
    from memory.records import archived, audit, summary, users
    from memory.records.last_attempt import LastAttempt
    from memory.records.stats import MemoryStats, StatsPoint
    from memory.records.tail import Tail
    from memory.records.users import UserSession, sessions_of_user
    from memory.redis.async_connection import AsyncConnection
    from memory.service import RedisMemoryService
    from memory.slots import answers
    from memory.slots.occupancy import Occupancy, SlotWait
    from memory.slots.slots import Slots
    from memory.upkeep.cleanup import CleanedUp
    from memory.upkeep.damage import DamagedKey, damaged_keys
    from memory.upkeep.erasure import Kept, erase_agent, erase_session, kept_of
    from memory.upkeep.housekeeping import Extended, Housekeeping
    from memory.upkeep.key_check import prove_keys

__all__ = [
    "AcquireOutcome",
    "Acquired",
    "ArchiveFile",
    "ArchiveRun",
    "ArchiveUnavailable",
    "Archiver",
    "AsyncConnection",
    "Backpressure",
    "CannotDecrypt",
    "CannotRead",
    "Claim",
    "CleanOutcome",
    "CleanedUp",
    "Command",
    "CommitOutcome",
    "Committed",
    "Connection",
    "CorruptData",
    "CursorExpired",
    "DamagedKey",
    "DiscardOutcome",
    "Discarded",
    "Due",
    "DueEntry",
    "End",
    "Ending",
    "EnqueueOutcome",
    "Enqueued",
    "EnvSettings",
    "Event",
    "EventType",
    "Extended",
    "Housekeeping",
    "Intake",
    "InvalidInput",
    "JobToWake",
    "Kept",
    "Keyspace",
    "LastAttempt",
    "Leaving",
    "LookOutcome",
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
    "NewerFormat",
    "NotedOutcome",
    "Occupancy",
    "OnBusy",
    "Outage",
    "Priority",
    "RedisMemoryService",
    "Request",
    "ServerOutage",
    "SessionKeys",
    "SlotWait",
    "Slots",
    "StatsPoint",
    "StopPolicy",
    "SweepOutcome",
    "Tail",
    "TakenEnds",
    "UserSession",
    "answers",
    "archived",
    "audit",
    "check_env_file",
    "create_redis_memory_from_config",
    "damaged_keys",
    "dead_letters",
    "decode_messages",
    "decrypted_envelope",
    "encode_message",
    "erase_agent",
    "erase_session",
    "events",
    "get_redis_memory",
    "ignore_corrupt",
    "index",
    "intake",
    "is_cancelled",
    "is_service_port",
    "keep_pointer",
    "kept_of",
    "locate",
    "outbox",
    "prove_keys",
    "redis_tls",
    "reset_redis_memory",
    "sentinel_options",
    "servers_away",
    "sessions_of_user",
    "summary",
    "tls_options",
    "unclaim",
    "users",
]

_BY_NEED = {
    "ArchiveFile": "memory.archive.file",
    "ArchiveRun": "memory.archive.archiver",
    "Archiver": "memory.archive.archiver",
    "AsyncConnection": "memory.redis.async_connection",
    "CleanedUp": "memory.upkeep.cleanup",
    "DamagedKey": "memory.upkeep.damage",
    "Due": "memory.mailbox.due",
    "DueEntry": "memory.mailbox.due_list",
    "Extended": "memory.upkeep.housekeeping",
    "Housekeeping": "memory.upkeep.housekeeping",
    "Kept": "memory.upkeep.erasure",
    "Leaving": "memory.archive.store",
    "LastAttempt": "memory.records.last_attempt",
    "LookOutcome": "memory.outages.outages",
    "MemoryStats": "memory.records.stats",
    "NotedOutcome": "memory.outages.outages",
    "Occupancy": "memory.slots.occupancy",
    "Outage": "memory.outages.outages",
    "RedisMemoryService": "memory.service",
    "ServerOutage": "memory.outages.outages",
    "SlotWait": "memory.slots.occupancy",
    "Slots": "memory.slots.slots",
    "StatsPoint": "memory.records.stats",
    "Tail": "memory.records.tail",
    "UserSession": "memory.records.users",
    "answers": "memory.slots.answers",
    "archived": "memory.records.archived",
    "audit": "memory.records.audit",
    "create_redis_memory_from_config": "memory.factory",
    "damaged_keys": "memory.upkeep.damage",
    "decrypted_envelope": "memory.mailbox.words",
    "erase_agent": "memory.upkeep.erasure",
    "erase_session": "memory.upkeep.erasure",
    "get_redis_memory": "memory.factory",
    "kept_of": "memory.upkeep.erasure",
    "prove_keys": "memory.upkeep.key_check",
    "reset_redis_memory": "memory.factory",
    "servers_away": "memory.outages.outages",
    "sessions_of_user": "memory.records.users",
    "summary": "memory.records.summary",
    "users": "memory.records.users",
}
"""What a producer may do without, by where it is."""


if not TYPE_CHECKING:  # for mypy every name would be there

    def __getattr__(name: str) -> object:
        """Load what a process asks for, and nothing besides."""
        if name not in _BY_NEED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        place = import_module(_BY_NEED[name])
        found = globals()[name] = getattr(place, name, place)
        return found

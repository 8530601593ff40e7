"""What beat has done for the memory: extend what is used, delete what is stale, note statistics.

Each task does a bounded amount of work and may run twice at once; what it did is its result and a
line in the log.
"""

import logging
from dataclasses import asdict

from memory import ArchiveUnavailable, Housekeeping, MemoryUnavailable
from memory.archive.archiver import Archiver
from memory.records.archived import Stay
from tasks.beat.schedule import (
    ARCHIVE_TASK,
    CLEANUP_TASK,
    EXTEND_TASK,
    STATS_TASK,
    STRAYS_TASK,
)
from tasks.process.app import app
from tasks.process.services import producer_services
from tasks.process.unshown import UnshownTask
from telemetry.metrics import ARCHIVE_LAG, ARCHIVED

logger = logging.getLogger(__name__)

RETRY_S = 5.0


class MaintenanceTask(UnshownTask):
    """A periodic task; an outage of Redis is waited for as long as until the next run."""

    abstract = True
    autoretry_for = (MemoryUnavailable,)
    max_retries = 3
    default_retry_delay = RETRY_S
    retry_jitter = True
    throws = (MemoryUnavailable, ArchiveUnavailable)


@app.task(base=MaintenanceTask, name=EXTEND_TASK)
def extend_active_sessions() -> dict[str, object]:
    """Give every session used within MEMORY_ACTIVE_WINDOW its whole TTL again."""
    settings = producer_services().settings
    extended = _housekeeping().extend_active(
        window_s=settings.queue.active_window_s, ttl_s=settings.ttl_of
    )
    return _logged("TTL extended", asdict(extended))


@app.task(base=MaintenanceTask, name=CLEANUP_TASK)
def clean_stale_sessions() -> dict[str, object]:
    """Delete what nobody has used for MEMORY_STALE_AFTER, and for no less than its agent's TTL, or
    than the TTL that it was given; the longest unused first."""
    settings = producer_services().settings
    cleaned = _housekeeping().clean_stale(
        idle_s=settings.stale_after_s, min_idle_s_of=settings.own_ttl_of, ttl_of=settings.ttl_of
    )
    return _logged("stale sessions", asdict(cleaned))


@app.task(base=MaintenanceTask, name=ARCHIVE_TASK)
def archive_sessions() -> dict[str, object]:
    """Write to the archive what is about to leave Redis, and then remove it there."""
    services = producer_services()
    kept, file = services.settings.memory, services.archive
    if file is None:
        return {}
    stay = Stay(kept.history_max_messages, kept.history_max_bytes)
    done = Archiver(services.memory, services.keyspace, file, stay).run()
    ARCHIVED.inc(done.messages)
    ARCHIVE_LAG.set(done.overdue_s)
    return _logged("archive", asdict(done))


@app.task(base=MaintenanceTask, name=STATS_TASK)
def snapshot_memory_stats() -> dict[str, object]:
    """Note the memory statistics of now, of which MEMORY_STATS_KEPT points are kept, and the totals
    that are bounded; of more than CHAT_MAX_DEAD_LETTERS dead letters the oldest go."""
    queue = producer_services().settings.queue
    stats = _housekeeping().record_stats(keep=queue.stats_kept)
    totals = _housekeeping().keep_totals(max_letters=queue.max_dead_letters)
    return _logged("memory statistics", {**stats, "dead_letters": totals.dead_letters})


@app.task(base=MaintenanceTask, name=STRAYS_TASK)
def find_stray_mailboxes() -> dict[str, object]:
    """Put mailboxes back on the list that the sweeper has lost, and take sessions off the list of
    dead letters whose letters have expired."""
    # From the index, not by SCAN (docs/decisions.md, "Strays are found in the session index").
    facts: dict[str, object] = {
        "found": _housekeeping().add_strays(),
        "letters expired": _housekeeping().forget_old_letters(),
    }
    return _logged("stray mailboxes", facts)


def _housekeeping() -> Housekeeping:
    services = producer_services()
    return Housekeeping(services.memory, services.keyspace)


def _logged(what: str, facts: dict[str, object]) -> dict[str, object]:
    logger.debug("%s: %s", what, ", ".join(f"{name} {value}" for name, value in facts.items()))
    return facts

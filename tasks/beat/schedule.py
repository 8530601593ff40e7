"""What beat sends, and how often. Pure."""

from typing import TypedDict

from tasks.settings import QueueSettings

SWEEP_TASK = "tasks.sweep"
EXTEND_TASK = "tasks.maintenance.extend_active_sessions"
CLEANUP_TASK = "tasks.maintenance.clean_stale_sessions"
STRAYS_TASK = "tasks.maintenance.find_stray_mailboxes"
ARCHIVE_TASK = "tasks.maintenance.archive_sessions"
STATS_TASK = "tasks.maintenance.snapshot_memory_stats"
PERIODIC = frozenset({SWEEP_TASK, EXTEND_TASK, CLEANUP_TASK, STRAYS_TASK, STATS_TASK, ARCHIVE_TASK})
STRAYS_EVERY_S = 21_600.0
"""A mailbox gets lost from the sweeper's list only if Redis itself loses data."""


class ScheduleOptions(TypedDict):
    """How beat publishes an entry."""

    expires: float


class ScheduleEntry(TypedDict):
    """One entry of Celery's `beat_schedule`; times in seconds."""

    task: str
    schedule: float
    options: ScheduleOptions


def beat_entries(queue: QueueSettings, *, has_archive: bool) -> dict[str, ScheduleEntry]:
    """All periodic tasks. Each message expires before the next is sent, so they never pile up."""
    every_s = {
        SWEEP_TASK: queue.sweep_s,
        EXTEND_TASK: queue.extend_every_s,
        CLEANUP_TASK: queue.cleanup_every_s,
        STATS_TASK: queue.stats_every_s,
        STRAYS_TASK: STRAYS_EVERY_S,
        **({ARCHIVE_TASK: queue.archive_every_s} if has_archive else {}),
    }
    return {
        task.rpartition(".")[2]: ScheduleEntry(
            task=task, schedule=s, options=ScheduleOptions(expires=s)
        )
        for task, s in every_s.items()
    }

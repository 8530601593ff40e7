"""All that `griot top` shows, as it was at one moment. No words of a conversation."""

from dataclasses import dataclass

from memory.records.index import server_time_ms
from tasks.overview.jobs import JobShown, waiting_jobs
from tasks.overview.outages import OutageNow, outages_now
from tasks.overview.pauses import PauseNow, pauses_now
from tasks.overview.report import WorkerReport
from tasks.overview.slots import ModelSlots, model_slots
from tasks.overview.workers import look_at_workers
from tasks.process.services import ProducerServices

MOST_WAITING = 100
"""So many jobs that wait are looked at, the oldest, however many there are."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The workers that have reported lately, the oldest jobs that wait, slots, outages.

    `now_ms` is the server's clock. With `has_more`, other jobs wait besides.
    """

    now_ms: int
    workers: tuple[WorkerReport, ...]
    waiting: tuple[JobShown, ...]
    has_more: bool
    slots: tuple[ModelSlots, ...]
    outages: tuple[OutageNow, ...]
    pauses: tuple[PauseNow, ...] = ()


def take(services: ProducerServices) -> Snapshot:
    """Look, and have the workers report for the next ten seconds: after a pause the first
    snapshot has none of them. Raises MemoryServiceError."""
    memory, keyspace = services.memory, services.keyspace
    workers = look_at_workers(memory, keyspace)
    page = waiting_jobs(memory, keyspace, "", limit=MOST_WAITING)
    return Snapshot(
        now_ms=memory.run(server_time_ms()),
        workers=workers,
        waiting=page.jobs,
        has_more=page.next is not None,
        slots=model_slots(memory, keyspace, services.settings),
        outages=outages_now(memory, keyspace),
        pauses=pauses_now(memory, keyspace),
    )

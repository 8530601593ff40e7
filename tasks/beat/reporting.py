"""A timer in every worker: the counts of its turns, and, while somebody looks, its report."""

from collections.abc import Callable

from memory import CorruptData, MemoryServiceError
from memory.ids import MAX_ID_BYTES
from memory.records import reports, turn_counts
from tasks.beat.seconds import rest
from tasks.overview.report import LoopLateness, report_of
from tasks.process.worker.services import worker_services

EVERY_S = 2.0


async def report_forever(name: str, late: Callable[[], LoopLateness]) -> None:
    """Report every two seconds until cancelled; `late` says how late the event loop was lately.

    Nothing depends on it: where Redis cannot be reached the sweeper says so, and this waits.
    """
    while True:
        await rest(EVERY_S)
        try:
            await report_once(name, late)
        except (MemoryServiceError, CorruptData):
            continue


async def report_once(name: str, late: Callable[[], LoopLateness]) -> None:
    """Write what there is to say. Raises MemoryServiceError."""
    worker = worker_services()
    counts = worker.turns.take_counts()
    asked = reports.is_watched(worker.keyspace)
    try:
        is_watched = await worker.memory.run_last(*turn_counts.add(worker.keyspace, counts), asked)
    except MemoryServiceError:
        worker.turns.count(counts)
        raise
    if is_watched:
        packed = report_of(worker, name, late()).model_dump_json().encode()
        shown = name.encode()[:MAX_ID_BYTES].decode(errors="ignore")
        noted = reports.note(worker.keyspace, shown, packed)
        await worker.memory.run_all(*noted, reports.forget_old(worker.keyspace))

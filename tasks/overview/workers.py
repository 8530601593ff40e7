"""The workers as they show themselves while somebody looks."""

from pydantic import ValidationError

from memory import Connection, Keyspace
from memory.records import reports
from memory.records.index import server_time_ms
from memory.redis.command import ignore_corrupt
from tasks.overview.report import WorkerReport


def look_at_workers(memory: Connection, keyspace: Keyspace) -> tuple[WorkerReport, ...]:
    """The workers that have reported in the last 15 seconds, by their names, and the wish that they
    do so for the next ten: after a pause the first answer has none. Raises MemoryServiceError."""
    memory.run(reports.watch(keyspace))
    names = memory.run(reports.listed(keyspace, now_ms=memory.run(server_time_ms())))
    found = memory.run_each(
        [ignore_corrupt(reports.report(keyspace, name), None) for name in sorted(names)]
    )
    parsed = (_parsed(packed) for packed in found if packed is not None)
    return tuple(one for one in parsed if one is not None)


def _parsed(packed: bytes) -> WorkerReport | None:
    try:
        return WorkerReport.model_validate_json(packed)
    except ValidationError:  # of another version, or another program
        return None

"""What the workers say of themselves while somebody looks: one short record each, for seconds.

Nothing is written while nobody looks. Whoever does says so (`watch`), and each worker asks whether
anybody does (`is_watched`) before it writes.

Pure: functions return commands, each safe to repeat.
"""

from memory.keys import Keyspace
from memory.lifetimes import REPORT_MS, WATCH_MS
from memory.records.index import newest, touch_index
from memory.redis.command import Command, ignore_corrupt
from memory.redis.replies import integer, nothing, optional

MOST_WORKERS = 500
"""So many are listed, those that were heard of last."""


def watch(keyspace: Keyspace) -> Command[None]:
    """Have the workers report for the next seconds."""
    return Command(nothing, ("SET", keyspace.watched, 1, "PX", WATCH_MS))


def is_watched(keyspace: Keyspace) -> Command[bool]:
    """Whether anybody looks."""
    return Command(lambda reply: reply is not None, ("GET", keyspace.watched))


def note(keyspace: Keyspace, worker: str, packed: bytes) -> tuple[Command[None], Command[int]]:
    """Keep a worker's report in place of its last one, and list the worker."""
    # In this order: one that is listed has a report, or had one.
    return (
        Command(nothing, ("SET", keyspace.report(worker), packed, "PX", REPORT_MS)),
        ignore_corrupt(touch_index(keyspace.workers, worker), 0),
    )


def forget_old(keyspace: Keyspace) -> Command[int]:
    """Keep the list of workers short: pods and containers have new names each time."""
    return Command(integer, ("ZREMRANGEBYRANK", keyspace.workers, 0, -MOST_WORKERS - 1))


def listed(keyspace: Keyspace, *, now_ms: int) -> Command[list[str]]:
    """The workers that have reported lately, by the server's clock."""
    found = newest(keyspace.workers, since_ms=now_ms - REPORT_MS, limit=MOST_WORKERS)
    return Command(lambda reply: [entry.member for entry in found.parse(reply)], found.args)


def report(keyspace: Keyspace, worker: str) -> Command[bytes | None]:
    """A worker's report; None where it has not reported for long."""
    return Command(optional(bytes), ("GET", keyspace.report(worker)))

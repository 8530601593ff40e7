"""What lies in Redis, as metrics: read when Prometheus asks, in a bounded number of commands.

Every process that consumes the maintenance queue exports it, and all export the same.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from llm.wire.address import label_of
from memory import Connection, Keyspace, MemoryServiceError, MemoryUnavailable
from memory.records.index import server_time_ms
from memory.records.stats import read_stats
from memory.redis.command import Command
from memory.redis.server_info import info_fields
from tasks.overview.backlog import agent_backlogs, letters_kept, outbox_left
from tasks.overview.slots import model_slots
from tasks.overview.workers import look_at_workers
from tasks.process.configuration import Settings
from telemetry.labels import MOST_NAMES, OTHER, SERVERS
from telemetry.metrics import (
    DEAD_LETTERS,
    OUTBOX,
    OUTBOX_OLDEST,
    PENDING,
    PENDING_OLDEST,
    REDIS_EVICTED,
    REDIS_LIMIT,
    REDIS_MEMORY,
    REDIS_UP,
    RUNNING_TURNS,
    SESSIONS,
    SLOT_WAITERS,
    SLOTS_LIMIT,
    SLOTS_TAKEN,
    SNAPSHOT_AGE,
    WORKERS,
    Described,
)
from worker.metrics.registry import REGISTRY, gauge_family

logger = logging.getLogger(__name__)

KEPT_S = 5.0
"""Whoever asks again within it is given the same: two Prometheus ask Redis once."""
PATIENCE_S = 2.0
"""Longest wait for an answer of Redis: a scrape that takes ten seconds is given up."""

Families = Iterator[GaugeMetricFamily]


class RedisExporter(Collector):
    """Reads it on the threads of the endpoint. Where Redis is away, all that it gives is that."""

    def __init__(
        self,
        memory: Connection,
        keyspace: Keyspace,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._memory, self._keyspace, self._settings = memory, keyspace, settings
        self._clock = clock
        self._reading = threading.Lock()
        self._read: Sequence[GaugeMetricFamily] = ()
        self._until_s = clock()
        self._failing: set[str] = set()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing, so that it is not asked when it is registered."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """What there is; read anew where the last answer is older than KEPT_S."""
        with self._reading:
            if self._clock() >= self._until_s:
                self._read = self._all()
                self._until_s = self._clock() + KEPT_S
            return self._read

    def _all(self) -> Sequence[GaugeMetricFamily]:
        parts = (
            *(self._redis, self._jobs, self._ends, self._letters),
            *(self._slots, self._snapshot, self._workers),
        )
        found: list[GaugeMetricFamily] = []
        is_up = True
        for part in parts:
            try:
                found += part()
                self._failing.discard(part.__name__)
            except MemoryUnavailable:
                is_up = False  # the other parts would each wait as long, and in vain
                break
            except MemoryServiceError as exc:
                self._say(part.__name__, exc)
        return [_one(REDIS_UP, float(is_up)), *found]

    def _say(self, part: str, error: MemoryServiceError) -> None:
        level = logging.DEBUG if part in self._failing else logging.WARNING
        self._failing.add(part)
        logger.log(level, "a part of the metrics of Redis is not shown: %s", error)

    def _redis(self) -> Families:
        servers = self._memory.run_on_every_server(Command(info_fields, ("INFO",)))
        for described, name in (
            (REDIS_MEMORY, "used_memory"),
            (REDIS_LIMIT, "maxmemory"),
            (REDIS_EVICTED, "evicted_keys"),
        ):
            yield _one(described, sum(int(info.get(name, "0")) for info in servers))

    def _jobs(self) -> Families:
        pending, oldest = gauge_family(PENDING), gauge_family(PENDING_OLDEST)
        backlogs = agent_backlogs(self._memory, self._keyspace)
        known = [*self._settings.profiles.by_id][:MOST_NAMES]
        # Those of the profiles first, with 0 where they have none; then the largest.
        own = [*dict.fromkeys((*known, *(one.agent_id for one in backlogs)))][:MOST_NAMES]
        jobs, ages = dict.fromkeys(own, 0), dict[str, float]()
        for one in backlogs:
            label = one.agent_id if one.agent_id in own else OTHER
            jobs[label] = jobs.get(label, 0) + one.pending
            ages[label] = max(ages.get(label, 0.0), one.oldest_s or 0.0)
        for label, number in jobs.items():
            pending.add_metric([label], number)
            oldest.add_metric([label], ages.get(label, 0.0))
        yield from (pending, oldest)

    def _ends(self) -> Families:
        left = outbox_left(self._memory, self._keyspace)
        yield _one(OUTBOX, left.sessions)
        yield _one(OUTBOX_OLDEST, left.oldest_s or 0.0)

    def _letters(self) -> Families:
        yield _one(DEAD_LETTERS, letters_kept(self._memory, self._keyspace))

    def _slots(self) -> Families:
        limit, taken, waiters = map(gauge_family, (SLOTS_LIMIT, SLOTS_TAKEN, SLOT_WAITERS))
        models = model_slots(self._memory, self._keyspace, self._settings, most=MOST_NAMES)
        for one in models:
            for server, slots in one.slots.items():
                labels = [one.model, SERVERS.label(label_of(server))]
                limit.add_metric(labels, slots)
                taken.add_metric(labels, one.taken[server])
            waiters.add_metric([one.model], one.waiting)
        yield from (limit, taken, waiters)

    def _snapshot(self) -> Families:
        last = read_stats(self._memory, self._keyspace, limit=1)
        now_ms = self._memory.run(server_time_ms())
        for point in last:
            yield _one(SESSIONS, point.sessions)
            yield _one(SNAPSHOT_AGE, max(0.0, now_ms / 1000 - point.at.timestamp()))

    def _workers(self) -> Families:
        workers = look_at_workers(self._memory, self._keyspace)
        yield _one(WORKERS, len(workers))
        yield _one(RUNNING_TURNS, sum(one.running for one in workers))


def export_redis(settings: Settings, registry: CollectorRegistry = REGISTRY) -> None:
    """Show what lies in Redis among the metrics of this process, by a connection of its own."""
    timeout_s = min(settings.memory.timeout_s, PATIENCE_S)
    patient = settings.memory.model_copy(update={"timeout_s": timeout_s})
    exporter = RedisExporter(Connection(patient), settings.memory.keyspace, settings)
    registry.register(exporter)


def _one(described: Described, value: float) -> GaugeMetricFamily:
    family = gauge_family(described)
    family.add_metric([], value)
    return family

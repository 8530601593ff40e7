"""What lies in Redis as metrics: read when asked, in a bounded number of commands."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from llm import full_name
from memory import Connection, Keyspace, MemorySettings, outbox
from memory.quotas import owners, pending
from memory.records.stats import record_stats
from sandbox.ports import free_port
from sandbox.valkey import ValkeyServer
from tasks.process.configuration import Settings, load_settings
from telemetry.labels import MOST_NAMES, OTHER
from tests.support.memory_fixtures import Backend
from tests.support.metrics.shown import total
from worker.metrics.exporter import KEPT_S, RedisExporter

AGENTS = 300


class Clock:
    """A clock that is set."""

    now_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


@pytest.fixture
def keyspace(real_backend: Backend) -> Keyspace:
    """The names of the test's keys."""
    return real_backend.settings.keyspace


@pytest.fixture
def clock() -> Clock:
    """That of the exporter."""
    return Clock()


@pytest.fixture
def settings() -> Settings:
    """With bounded models."""
    made = load_settings()
    return replace(made, llm=made.llm.model_copy(update={"num_parallel": 3}))


@pytest.fixture
def shown(
    real_backend: Backend, keyspace: Keyspace, settings: Settings, clock: Clock
) -> Callable[[], str]:
    """What Prometheus is given."""
    registry = CollectorRegistry()
    registry.register(RedisExporter(real_backend.connection, keyspace, settings, clock=clock))
    return lambda: generate_latest(registry).decode()


def note_jobs(backend: Backend, keyspace: Keyspace, agent: str, jobs: int) -> None:
    """So many jobs of an agent that wait."""
    notes = [
        pending.note(keyspace, f"{agent}-{number}", (owners.agent(agent),))
        for number in range(jobs)
    ]
    backend.connection.run_each(notes)


def test_jobs_are_shown_by_agent_and_the_smallest_together(
    real_backend: Backend, keyspace: Keyspace, shown: Callable[[], str]
) -> None:
    """Also where there are more agents than a metric has labels."""
    note_jobs(real_backend, keyspace, "large", 7)
    for number in range(AGENTS):
        note_jobs(real_backend, keyspace, f"agent-{number}", 1)
    text = shown()
    assert total(text, "griot_pending_jobs", agent="large") == 7
    assert total(text, "griot_pending_jobs") == AGENTS + 7
    assert total(text, "griot_pending_jobs", agent=OTHER) >= AGENTS - MOST_NAMES
    assert text.count("griot_pending_jobs{") <= MOST_NAMES + 1


def test_the_oldest_job_of_an_agent_has_an_age(
    real_backend: Backend, keyspace: Keyspace, shown: Callable[[], str]
) -> None:
    """From when it was due."""
    note_jobs(real_backend, keyspace, "energy", 2)
    later = pending.note(keyspace, "later", (owners.agent("water"),), wait_ms=3_600_000)
    real_backend.connection.run(later)
    key = keyspace.quotas.pending_jobs
    real_backend.observer.zincrby(key, -90_000, "energy-1")
    text = shown()
    assert 90 <= total(text, "griot_pending_oldest_seconds", agent="energy") < 190
    assert total(text, "griot_pending_oldest_seconds", agent="water") == 0


def test_ends_letters_and_snapshots_are_shown(
    real_backend: Backend, keyspace: Keyspace, shown: Callable[[], str]
) -> None:
    """With how long they wait."""
    keys = keyspace.session("energy", "s")
    real_backend.connection.run(outbox.note_late(keyspace, keys))
    real_backend.observer.zincrby(keyspace.outbox, -60_000_000, keys.history)
    real_backend.observer.rpush(keys.dead, b"a", b"b")
    real_backend.observer.pexpire(keys.dead, 60_000)
    real_backend.observer.zadd(keyspace.dead, {keys.history: 1})
    record_stats(real_backend.connection, keyspace, keep=10)
    text = shown()
    assert total(text, "griot_outbox_entries") == 1
    assert 60 <= total(text, "griot_outbox_oldest_seconds") < 160
    assert total(text, "griot_dead_letters") == 2
    assert "griot_sessions 0.0" in text
    assert 0 <= total(text, "griot_snapshot_age_seconds") < 100


def test_slots_are_shown_by_model_and_server(
    real_backend: Backend, keyspace: Keyspace, shown: Callable[[], str], settings: Settings
) -> None:
    """The label of a server is its host and port."""
    url = settings.llm.servers[0]
    keys = keyspace.slots(full_name(settings.llm.model), [url])
    real_backend.observer.zadd(keys.waiters, {"somebody": 1})
    real_backend.observer.pexpire(keys.waiters, 60_000)
    text = shown()
    assert total(text, "griot_slots_limit", server=url.partition("://")[2]) >= 3
    assert total(text, "griot_slots_taken") == 0
    assert total(text, "griot_slot_waiters", model=full_name(settings.llm.model)) == 1


def test_redis_itself_is_shown(real_backend: Backend, shown: Callable[[], str]) -> None:
    """All servers of it together."""
    text = shown()
    assert total(text, "griot_redis_up") == 1
    assert total(text, "griot_redis_memory_bytes") > 100_000
    limit = int(real_backend.observer.info("memory")["maxmemory"])
    assert total(text, "griot_redis_memory_limit_bytes") == limit
    assert "griot_workers 0.0" in text


def test_keys_that_redis_has_dropped_are_shown(keyspace: Keyspace, settings: Settings) -> None:
    """It should drop none: the policy is wrong then."""
    registry = CollectorRegistry()
    with ValkeyServer(maxmemory="4mb") as server:
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        for number in range(100):
            server.command("SET", f"filler-{number}", "x" * 100_000)
        memory = Connection(MemorySettings(_env_file=None, url=server.url()))
        registry.register(RedisExporter(memory, keyspace, settings))
        assert total(generate_latest(registry).decode(), "griot_redis_evicted_keys") > 0
        memory.close()


def test_who_asks_again_soon_is_given_the_same(
    real_backend: Backend, keyspace: Keyspace, shown: Callable[[], str], clock: Clock
) -> None:
    """Two Prometheus cost Redis one look."""
    shown()
    note_jobs(real_backend, keyspace, "energy", 1)
    assert total(shown(), "griot_pending_jobs", agent="energy") == 0
    clock.now_s += KEPT_S
    assert total(shown(), "griot_pending_jobs", agent="energy") == 1


def test_a_damaged_part_leaves_the_rest(
    real_backend: Backend,
    keyspace: Keyspace,
    shown: Callable[[], str],
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And one line in the log, however often it is read."""
    real_backend.observer.set(keyspace.outbox, "no index", px=60_000)
    for _ in range(3):
        text = shown()
        clock.now_s += KEPT_S
    assert "griot_outbox_entries" not in text
    assert "griot_dead_letters 0.0" in text
    assert caplog.text.count("a part of the metrics of Redis is not shown") == 1


def test_where_redis_is_away_that_is_what_is_shown(keyspace: Keyspace, settings: Settings) -> None:
    """After one try: the other parts would each wait as long."""
    registry = CollectorRegistry()
    away = MemorySettings(_env_file=None, url=f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.2)
    registry.register(RedisExporter(Connection(away), keyspace, settings))
    text = generate_latest(registry).decode()
    assert "griot_redis_up 0.0" in text
    assert text.count("# HELP") == 1


def test_a_look_costs_few_commands_however_much_there_is(
    real_backend: Backend, keyspace: Keyspace, shown: Callable[[], str], clock: Clock
) -> None:
    """A scrape comes every few seconds."""
    shown()
    few = commands_of(real_backend, shown, clock)
    for number in range(AGENTS):
        note_jobs(real_backend, keyspace, f"agent-{number}", 2)
    assert commands_of(real_backend, shown, clock) <= few + 1


def commands_of(backend: Backend, shown: Callable[[], str], clock: Clock) -> int:
    """How many commands a look costs, with the two that count."""
    clock.now_s += KEPT_S
    before = int(backend.observer.info("stats")["total_commands_processed"])
    shown()
    return int(backend.observer.info("stats")["total_commands_processed"]) - before

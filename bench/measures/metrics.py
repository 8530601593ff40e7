"""The whole chat job with metrics, which somebody reads, and without any counting."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from bench.arena import Arena
from bench.conversation import AGENT, sessions, stored
from bench.meter import Meter
from bench.producing import Producer, producing
from bench.rows import Row, Target, median, shown, spread
from bench.size import Size
from memory import MemorySettings, RedisMemoryService
from sandbox.ports import free_port

PREFIX = "uncounted"
SCRAPE_EVERY_S = 5.0


@dataclass
class _Side:
    """One of the two deployments on the same server: its worker counts, or does not."""

    name: str
    producer: Producer
    meter: Meter
    memory: RedisMemoryService
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def round(self, arena: Arena, jobs: int) -> None:
        """Send and fetch so many jobs, each of a session with its history."""
        ids = sessions(arena.new_run(), jobs)
        for session in ids:
            self.memory.save_conversation_history(AGENT, session, stored())
        before_s = self.meter.cpu_s()
        seconds = self.producer.burst("chat", ids)
        self.cpu_ms.append((self.meter.cpu_s() - before_s) * 1000 / jobs)
        self.rates.append(jobs / seconds)


def measure(arena: Arena, size: Size) -> list[Row]:
    """Rounds of both, one after the other; ratios of the medians."""
    port, given = free_port(), {"REDIS_KEY_PREFIX": PREFIX}
    with ExitStack() as stack:
        counting = stack.enter_context(arena.chat_worker(METRICS_PORT=str(port)))
        without = stack.enter_context(
            arena.griot.worker("--include", "bench.uncounted", name=PREFIX, **given)
        )
        env = {**arena.griot.env, **given}
        producer = stack.enter_context(producing(arena.brokers, env, arena.directory))
        sides = (
            _Side("on", arena.producer, arena.meter(counting), _memory(arena, "")),
            _Side("off", producer, arena.meter(without), _memory(arena, PREFIX)),
        )
        stack.enter_context(_scraping(port))
        producer.burst("chat", sessions(arena.new_run(), size.throughput_jobs))
        for number in range(size.rounds):
            # Whoever comes second may find a warmer machine.
            for side in sides if number % 2 else sides[::-1]:
                side.round(arena, size.throughput_jobs)
                arena.model.reset()
            rates = ", ".join(f"{one.name} {shown(one.rates[-1])}" for one in sides)
            arena.say(f"metrics {number + 1}/{size.rounds}: {rates} jobs/s")
    return _rows(*sides)


def _memory(arena: Arena, prefix: str) -> RedisMemoryService:
    url = arena.valkey.url(0)
    settings = MemorySettings(url=url, key_prefix=prefix or arena.keyspace.prefix)
    return RedisMemoryService.from_settings(settings)


@contextmanager
def _scraping(port: int) -> Iterator[None]:
    """Read the metrics three times as often as Prometheus does by its usual settings."""
    is_over = threading.Event()

    def scrape() -> None:
        while not is_over.wait(SCRAPE_EVERY_S):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                answer.read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _rows(counting: _Side, without: _Side) -> list[Row]:
    name = "metrics"
    sides = f"on {spread(counting.rates)} jobs/s, off {spread(without.rates)} jobs/s"
    cpu, plain_cpu = median(counting.cpu_ms), median(without.cpu_ms)
    return [
        Row(
            name,
            "jobs per second with metrics / without",
            median(counting.rates) / median(without.rates),
            "x",
            Target(0.97, 0.97, at_least=True),
            sides,
        ),
        Row(
            name,
            "worker CPU per chat job with metrics / without",
            cpu / plain_cpu,
            "x",
            Target(1.03, 1.03),
            f"on {shown(cpu)} ms, off {shown(plain_cpu)} ms",
        ),
    ]

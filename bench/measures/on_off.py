"""The whole chat job with something switched on and with it off: what encryption, metrics and
traces cost."""

import base64
import os
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.error import URLError

from pydantic import SecretStr

from bench.arena import Arena
from bench.conversation import AGENT, sessions, stored
from bench.meter import Meter
from bench.producing import Producer, producing
from bench.rows import Row, Target, median, middle_half, shown
from bench.size import Size
from memory import MemorySettings, RedisMemoryService
from sandbox.collector import collector
from sandbox.ports import free_port

PREFIX = "on"
SCRAPE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class _Switch:
    """What is switched on: settings of the worker, and those that its producer needs too.

    `off` are the options of a worker without it.
    """

    name: str
    rate: Target
    cpu: Target | None = None
    worker: Mapping[str, str] = field(default_factory=dict)
    common: Mapping[str, str] = field(default_factory=dict)
    off: Sequence[str] = ()


@dataclass(slots=True)
class _Side:
    """One of the two deployments on the same server."""

    producer: Producer
    meter: Meter
    memory: RedisMemoryService
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def round(self, ids: Sequence[str]) -> None:
        """Send and fetch a job of each session, with its history there."""
        for session in ids:
            self.memory.save_conversation_history(AGENT, session, stored())
        before_s = self.meter.cpu_s()
        seconds = self.producer.burst("chat", ids)
        self.cpu_ms.append((self.meter.cpu_s() - before_s) * 1000 / len(ids))
        self.rates.append(len(ids) / seconds)


def encryption(arena: Arena, size: Size) -> list[Row]:
    """Encryption at rest, of records and of Celery's results."""
    key = f"bench:{base64.b64encode(os.urandom(32)).decode()}"
    common = {"GRIOT_ENCRYPTION_KEYS": key, "CELERY_RESULT_ENCRYPTED": "true"}
    return _measured(
        arena, size, _Switch("encryption", Target(0.6, 0.8, at_least=True), common=common)
    )


def metrics(arena: Arena, size: Size) -> list[Row]:
    """Metrics that somebody reads; off is a worker that counts nothing."""
    port = free_port()
    switch = _Switch(
        "metrics",
        Target(0.97, 0.97, at_least=True),
        Target(1.03, 1.03),
        worker={"METRICS_PORT": str(port)},
        off=("--include", "bench.uncounted"),
    )
    with _scraping(port):
        return _measured(arena, size, switch)


def traces(arena: Arena, size: Size) -> list[Row]:
    """Spans of all jobs, which are sent to a collector."""
    with collector(keeps=False) as taken:
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": taken.url}
        switch = _Switch("traces", Target(0.7, 0.9, at_least=True), worker=given)
        rows = _measured(arena, size, switch)
        if not taken.requests:
            raise RuntimeError("no span has reached the collector")
    return rows


def _measured(arena: Arena, size: Size, switch: _Switch) -> list[Row]:
    """Pairs of rounds, one after the other; the median of their ratios."""
    common = {**switch.common, "REDIS_KEY_PREFIX": PREFIX}
    with ExitStack() as stack:
        without = stack.enter_context(arena.chat_worker(*switch.off))
        having = arena.griot.worker(name=switch.name, **common, **switch.worker)
        stack.callback(having.kill)
        env = {**arena.griot.env, **common}
        producer = stack.enter_context(producing(arena.brokers, env, arena.directory))
        off = _Side(arena.producer, arena.meter(without), _memory(stack, arena, {}))
        on = _Side(producer, arena.meter(having), _memory(stack, arena, common))
        for side in (off, on):
            side.producer.burst("chat", sessions(arena.new_run(), size.throughput_jobs))
        for number in range(size.pairs):
            # Whoever comes second may find a warmer machine.
            for side in (on, off) if number % 2 else (off, on):
                side.round(sessions(arena.new_run(), size.pair_jobs))
                arena.model.reset()
            used = f"on {shown(on.cpu_ms[-1])}, off {shown(off.cpu_ms[-1])} ms CPU per job"
            arena.say(f"{switch.name} {number + 1}/{size.pairs}: {used}")
    return _rows(switch, on, off)


def _memory(stack: ExitStack, arena: Arena, given: Mapping[str, str]) -> RedisMemoryService:
    key = given.get("GRIOT_ENCRYPTION_KEYS")
    settings = MemorySettings(
        url=SecretStr(arena.valkey.url(0)),
        key_prefix=given.get("REDIS_KEY_PREFIX", arena.keyspace.prefix),
        encryption_keys=None if key is None else SecretStr(key),
    )
    return stack.enter_context(closing(RedisMemoryService.from_settings(settings)))


@contextmanager
def _scraping(port: int) -> Iterator[None]:
    """Read the metrics three times as often as Prometheus does by its usual settings."""
    address, is_over = f"http://127.0.0.1:{port}/metrics", threading.Event()

    def scrape() -> None:
        while not is_over.wait(SCRAPE_EVERY_S):
            # Before the worker's start and after its end nobody answers.
            with suppress(URLError), urllib.request.urlopen(address) as answer:
                answer.read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _rows(switch: _Switch, on: _Side, off: _Side) -> list[Row]:
    rate, rates = _compared(on.rates, off.rates, "jobs/s")
    cpu, used = _compared(on.cpu_ms, off.cpu_ms, "ms")
    name, what = switch.name, f"{switch.name} on / off"
    return [
        Row(name, f"worker CPU per chat job, {what}", cpu, "x", switch.cpu, used),
        Row(name, f"jobs per second, {what}", rate, "x", switch.rate, rates),
    ]


def _compared(on: Sequence[float], off: Sequence[float], unit: str) -> tuple[float, str]:
    """The ratio of a pair in the middle, and what lies behind it: the two of a pair ran on the same
    machine, which is another by the next pair."""
    ratios = [one / other for one, other in zip(on, off, strict=True)]
    behind = f"on {shown(median(on))}, off {shown(median(off))} {unit}"
    return median(ratios), f"{behind}; half of {len(ratios)} pairs {middle_half(ratios)}"

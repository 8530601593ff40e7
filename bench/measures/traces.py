"""The whole chat job with spans that are sent to a collector and without."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.arena import Arena
from bench.conversation import sessions
from bench.meter import Meter
from bench.producing import Producer, producing
from bench.rows import Row, Target, median, shown, spread
from bench.size import Size
from sandbox.collector import collector

PREFIX = "traced"


@dataclass
class _Side:
    """One of the two deployments on the same server."""

    name: str
    producer: Producer
    meter: Meter
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def round(self, ids: Sequence[str]) -> None:
        """Send and fetch a job of each session."""
        before_s = self.meter.cpu_s()
        seconds = self.producer.burst("chat", ids)
        self.cpu_ms.append((self.meter.cpu_s() - before_s) * 1000 / len(ids))
        self.rates.append(len(ids) / seconds)


def measure(arena: Arena, size: Size) -> list[Row]:
    """Rounds of both, one after the other; ratios of the medians. All jobs of one are traced."""
    with ExitStack() as stack:
        taken = stack.enter_context(collector(keeps=False))
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": taken.url, "REDIS_KEY_PREFIX": PREFIX}
        plain = stack.enter_context(arena.chat_worker())
        traced = stack.enter_context(arena.griot.worker(name=PREFIX, **given))
        env = {**arena.griot.env, "REDIS_KEY_PREFIX": PREFIX}
        producer = stack.enter_context(producing(arena.brokers, env, arena.directory))
        sides = (
            _Side("off", arena.producer, arena.meter(plain)),
            _Side("on", producer, arena.meter(traced)),
        )
        for side in sides:
            side.producer.burst("chat", sessions(arena.new_run(), size.throughput_jobs))
        for number in range(size.rounds):
            for side in sides:
                side.round(sessions(arena.new_run(), size.throughput_jobs))
                arena.model.reset()
            rates = ", ".join(f"{one.name} {shown(one.rates[-1])}" for one in sides)
            arena.say(f"traces {number + 1}/{size.rounds}: {rates} jobs/s")
        if not taken.requests:
            raise RuntimeError("no span has reached the collector")
    return _rows(*sides)


def _rows(off: _Side, on: _Side) -> list[Row]:
    name = "traces"
    behind = ", ".join(
        f"{one.name} {shown(median(one.rates))} jobs/s ({spread(one.rates)})" for one in (on, off)
    )
    cpu = [median(one.cpu_ms) for one in (on, off)]
    return [
        Row(
            name,
            "chat job with traces on / off, jobs per second",
            median(on.rates) / median(off.rates),
            "x",
            Target(0.7, 0.9, at_least=True),
            behind,
        ),
        Row(
            name,
            "worker CPU of a job, traces on / off",
            cpu[0] / cpu[1],
            "x",
            None,
            f"{shown(cpu[0])} ms, off {shown(cpu[1])} ms",
        ),
    ]

"""The whole chat job against a Celery no-op and against the job that most people write."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.arena import NOOP_DBS, PLAIN_DBS, Arena
from bench.conversation import sessions
from bench.meter import Meter
from bench.rows import Row, Target, median, shown, spread
from bench.size import Size


@dataclass
class _System:
    """One of the systems that are compared."""

    kind: str
    meter: Meter
    seed: Callable[[Sequence[str]], None]
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def round(self, arena: Arena, jobs: int) -> None:
        """Send and fetch `jobs` jobs, each of a session of its own."""
        ids = sessions(arena.new_run(), jobs)
        self.seed(ids)
        before_s = self.meter.cpu_s()
        seconds = arena.producer.burst(self.kind, ids)
        self.cpu_ms.append((self.meter.cpu_s() - before_s) * 1000 / jobs)
        self.rates.append(jobs / seconds)

    @property
    def detail(self) -> str:
        """The absolute numbers."""
        return f"{self.kind} {shown(median(self.rates))} jobs/s ({spread(self.rates)})"


def measure(arena: Arena, size: Size) -> list[Row]:
    """Rounds of one system after the other; ratios of the medians."""
    with ExitStack() as stack:
        chat = stack.enter_context(arena.chat_worker())
        noop = stack.enter_context(arena.celery_worker("noop", NOOP_DBS))
        plain = stack.enter_context(arena.celery_worker("plain", PLAIN_DBS))
        systems = [
            _System("chat", arena.meter(chat), arena.seed_chat),
            _System("noop", arena.meter(noop), lambda _: None),
            _System("plain", arena.meter(plain), arena.seed_plain),
        ]
        for number in range(size.rounds):
            for system in systems:
                system.round(arena, size.throughput_jobs)
                arena.model.reset()
            rates = ", ".join(f"{one.kind} {shown(one.rates[-1])}" for one in systems)
            arena.say(f"throughput {number + 1}/{size.rounds}: {rates} jobs/s")
        return _rows(*systems, rss_mb=arena.meter(chat).rss_mb())


def _rows(chat: _System, noop: _System, plain: _System, *, rss_mb: float) -> list[Row]:
    name = "throughput"
    rate, cpu = median(chat.rates), median(chat.cpu_ms)
    to_noop = Target(0.5, 1.0, at_least=True)
    to_plain = Target(1.2, 3.0, at_least=True)
    return [
        Row(
            name,
            "chat job / Celery no-op, jobs per second",
            rate / median(noop.rates),
            "x",
            to_noop,
            f"{chat.detail}, {noop.detail}",
        ),
        Row(
            name,
            "chat job / plain Celery + ollama job",
            rate / median(plain.rates),
            "x",
            to_plain,
            f"{chat.detail}, {plain.detail}",
        ),
        Row(name, "worker CPU per chat job", cpu, "ms", None, spread(chat.cpu_ms, "ms")),
        Row(name, "worker CPU per no-op", median(noop.cpu_ms), "ms", None, spread(noop.cpu_ms)),
        Row(
            name, "worker CPU per plain job", median(plain.cpu_ms), "ms", None, spread(plain.cpu_ms)
        ),
        Row(name, "worker's memory", rss_mb, "MB"),
    ]

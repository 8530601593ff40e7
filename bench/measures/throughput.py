"""The whole chat job against a Celery no-op, the job that most people write, and a lean taskiq."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from bench.arena import NOOP_DBS, PLAIN_DBS, Arena
from bench.conversation import sessions
from bench.lean import MISSING, is_installed
from bench.meter import Meter
from bench.rows import Row, Target, median, shown, spread
from bench.size import Size

NAME = "throughput"
TO_NOOP = Target(0.5, 1.2, at_least=True)
TO_PLAIN = Target(1.2, 3.0, at_least=True)
TO_LEAN = Target(0.3, 1.0, at_least=True)
CPU_TO_LEAN = Target(2.5, 0.8)
REDIS_MS = Target(0.4, 0.12)


@dataclass
class _System:
    """One of the systems that are compared."""

    kind: str
    meter: Meter
    seed: Callable[[Sequence[str]], None]
    burst: Callable[[Sequence[str]], float]
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    redis_ms: list[float] = field(default_factory=list)

    def round(self, arena: Arena, jobs: int) -> None:
        """Send and fetch `jobs` jobs, each of a session of its own."""
        ids = sessions(arena.new_run(), jobs)
        self.seed(ids)
        before_s, redis_before_s = self.meter.cpu_s(), arena.redis_cpu_s()
        seconds = self.burst(ids)
        self.cpu_ms.append((self.meter.cpu_s() - before_s) * 1000 / jobs)
        self.redis_ms.append((arena.redis_cpu_s() - redis_before_s) * 1000 / jobs)
        self.rates.append(jobs / seconds)

    @property
    def detail(self) -> str:
        """The absolute numbers."""
        return f"{self.kind} {shown(median(self.rates))} jobs/s ({spread(self.rates)})"


def measure(arena: Arena, size: Size) -> list[Row]:
    """Rounds of one system after the other; ratios of the medians."""
    with ExitStack() as stack:
        systems = _systems(arena, stack)
        for number in range(size.rounds):
            for system in systems:
                system.round(arena, size.throughput_jobs)
                arena.model.reset()
            rates = ", ".join(f"{one.kind} {shown(one.rates[-1])}" for one in systems)
            arena.say(f"throughput {number + 1}/{size.rounds}: {rates} jobs/s")
        chat, noop, plain, *lean = systems
        rows = [
            *_ratios(chat, noop, plain),
            *(_to_lean(chat, lean[0]) if lean else _without_lean()),
        ]
        rows += [
            Row(NAME, f"worker CPU per {what}", median(one.cpu_ms), "ms", None, spread(one.cpu_ms))
            for what, one in zip(
                ("chat job", "no-op", "plain job", "taskiq job"), systems, strict=False
            )
        ]
        rss_mb = chat.meter.rss_mb()
        return [*rows, _redis(systems), Row(NAME, "worker's memory after that", rss_mb, "MB")]


def _systems(arena: Arena, stack: ExitStack) -> list[_System]:
    """Their workers run, all at once, until the stack closes; taskiq's where it is installed."""
    burst = arena.producer.burst
    chat = arena.meter(stack.enter_context(arena.chat_worker()))
    noop = arena.meter(stack.enter_context(arena.celery_worker("noop", NOOP_DBS)))
    plain = arena.meter(stack.enter_context(arena.celery_worker("plain", PLAIN_DBS)))
    systems = [
        _System("chat", chat, arena.seed_chat, partial(burst, "chat")),
        _System("noop", noop, lambda _: None, partial(burst, "noop")),
        _System("plain", plain, arena.seed_plain, partial(burst, "plain")),
    ]
    if is_installed():
        lean = stack.enter_context(arena.lean_peer())
        systems.append(_System("taskiq", arena.meter(lean.worker), arena.seed_lean, lean.burst))
    return systems


def _ratios(chat: _System, noop: _System, plain: _System) -> list[Row]:
    return [
        Row(
            NAME,
            f"chat job / {what}",
            median(chat.rates) / median(other.rates),
            "x",
            target,
            f"{chat.detail}, {other.detail}",
        )
        for what, other, target in (
            ("Celery no-op, jobs per second", noop, TO_NOOP),
            ("plain Celery + ollama job", plain, TO_PLAIN),
        )
    ]


def _to_lean(chat: _System, lean: _System) -> list[Row]:
    cpu = [median(one.cpu_ms) for one in (chat, lean)]
    behind = f"chat {shown(cpu[0])} ms, taskiq {shown(cpu[1])} ms"
    rate = median(chat.rates) / median(lean.rates)
    return [
        Row(NAME, "chat job / taskiq job", rate, "x", TO_LEAN, f"{chat.detail}, {lean.detail}"),
        Row(NAME, "worker CPU, chat job / taskiq job", cpu[0] / cpu[1], "x", CPU_TO_LEAN, behind),
    ]


def _without_lean() -> list[Row]:
    return [
        Row(NAME, "chat job / taskiq job", None, "x", TO_LEAN, MISSING),
        Row(NAME, "worker CPU, chat job / taskiq job", None, "x", CPU_TO_LEAN, MISSING),
    ]


def _redis(systems: Sequence[_System]) -> Row:
    chat, *others = systems
    beside = ", ".join(f"{one.kind} {shown(median(one.redis_ms))} ms" for one in others)
    return Row(NAME, "Redis' CPU per chat job", median(chat.redis_ms), "ms", REDIS_MS, beside)

"""Hundreds of sessions at once in one worker process, each waiting for its model."""

from dataclasses import dataclass, field

from bench.arena import Arena
from bench.conversation import sessions
from bench.rows import Row, Target, median, spread
from bench.size import Size

MODEL = "delay:1.0s"
ROUNDS = 3
SECONDS = Target(3.0, 1.45)
SECONDS_OF_THE_WIDEST = Target(6.0, 2.1)
MEMORY = Target(160, 100)


@dataclass(slots=True)
class _Rounds:
    """What came of so many sessions at once, round by round."""

    amount: int
    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)

    def add(self, arena: Arena) -> None:
        """One round on a new worker."""
        with arena.chat_worker(WORKER_CONCURRENCY=str(self.amount)) as worker:
            ids = sessions(arena.new_run(), self.amount)
            arena.seed_chat(ids)
            arena.model.reset()
            self.seconds.append(arena.producer.burst("chat", ids, MODEL))
            self.peaks.append(float(arena.model.peak_calls()))
            self.rss_mb.append(arena.meter(worker).rss_mb())
        arena.say(f"wide {self.amount}: {self.seconds[-1]:.2f} s, peak {self.peaks[-1]:.0f}")

    def rows(self, seconds: Target, memory: Target | None) -> list[Row]:
        """Makespan, peak of concurrent calls, memory."""
        what, span = f"{self.amount} sessions x 1.0 s model", spread(self.seconds, "s")
        all_of_them = Target(self.amount, self.amount, at_least=True)
        peak, rss_mb = median(self.peaks), median(self.rss_mb)
        return [
            Row("wide", what, median(self.seconds), "s", seconds, span),
            Row("wide", f"peak of their concurrent model calls, {self.amount} sessions",
                peak, "calls", all_of_them),
            Row("wide", f"memory of that worker, {self.amount} sessions", rss_mb, "MB", memory),
        ]  # fmt: skip


def measure(arena: Arena, size: Size) -> list[Row]:
    """As many sessions as one process is to hold without trouble, and twice as many."""
    usual, widest = _Rounds(size.wide_sessions), _Rounds(size.widest_sessions)
    for _ in range(min(ROUNDS, size.rounds)):
        usual.add(arena)
        widest.add(arena)
    return [*usual.rows(SECONDS, MEMORY), *widest.rows(SECONDS_OF_THE_WIDEST, None)]

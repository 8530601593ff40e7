"""Hundreds of sessions at once in one worker process, each waiting for its model."""

from bench.arena import Arena
from bench.conversation import sessions
from bench.rows import Row, Target, median, spread
from bench.size import Size

MODEL = "delay:1.0s"
ROUNDS = 3


def measure(arena: Arena, size: Size) -> list[Row]:
    """Makespan, peak of concurrent calls, memory."""
    amount = size.wide_sessions
    seconds, peaks, rss_mb = [], [], []
    for number in range(min(ROUNDS, size.rounds)):
        with arena.chat_worker(WORKER_CONCURRENCY=str(amount)) as worker:
            ids = sessions(arena.new_run(), amount)
            arena.seed_chat(ids)
            arena.model.reset()
            seconds.append(arena.producer.burst("chat", ids, MODEL))
            peaks.append(float(arena.model.peak_calls()))
            rss_mb.append(arena.meter(worker).rss_mb())
        arena.say(f"wide {number + 1}: {seconds[-1]:.2f} s, peak {peaks[-1]:.0f}")
    what = f"{amount} sessions x 1.0 s model"
    return [
        Row("wide", what, median(seconds), "s", Target(3.0, 1.5), spread(seconds, "s")),
        Row(
            "wide",
            "peak of concurrent model calls",
            median(peaks),
            "calls",
            Target(amount, amount, at_least=True),
        ),
        Row("wide", "memory of that worker", median(rss_mb), "MB", Target(160, 100)),
    ]

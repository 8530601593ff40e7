"""From the end of one turn to the start of the next in the same session."""

from itertools import pairwise

from bench.arena import Arena
from bench.rows import Row, Target, median, percentile, shown
from bench.size import Size


def measure(arena: Arena, size: Size) -> list[Row]:
    """One session with many jobs waiting, by the model's own log."""
    with arena.chat_worker():
        session = arena.new_run()
        arena.seed_chat([session])
        arena.model.reset()
        arena.producer.burst("chat", [session] * size.handover_jobs)
        calls = arena.model.calls()
    assert len(calls) == size.handover_jobs, "a turn was computed twice"
    gaps_ms = [(after.started_s - before.finished_s) * 1000 for before, after in pairwise(calls)]
    arena.say(f"handover: {median(gaps_ms):.2f} ms")
    return [
        Row(
            "handover",
            "end of a turn to start of the next, p50",
            median(gaps_ms),
            "ms",
            Target(5, 2),
            f"p90 {shown(percentile(gaps_ms, 90))} ms, p99 {shown(percentile(gaps_ms, 99))} ms",
        )
    ]

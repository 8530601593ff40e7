"""What a job adds to a direct call of the model where nothing else is going on."""

from bench.arena import Arena
from bench.conversation import sessions
from bench.rows import Row, Target, median, percentile, shown
from bench.size import Size


def measure(arena: Arena, size: Size) -> list[Row]:
    """Direct calls and jobs by turns; the median of the direct calls is taken off."""
    with arena.chat_worker():
        ids = sessions(arena.new_run(), size.idle_pairs)
        arena.seed_chat(ids)
        direct_ms, job_ms = arena.producer.pairs(ids)
    base_ms = median(direct_ms)
    added_ms = [one - base_ms for one in job_ms]
    arena.say(f"idle: job {median(job_ms):.2f} ms, direct call {base_ms:.2f} ms")
    detail = f"job {shown(median(job_ms))} ms, direct call {shown(base_ms)} ms (medians)"
    return [
        Row("idle", "latency added, p50", median(added_ms), "ms", Target(4, 1.8), detail),
        Row(
            "idle",
            "latency added, p99",
            percentile(added_ms, 99),
            "ms",
            Target(8, 4),
            f"a direct call: {shown(percentile(direct_ms, 99) - base_ms)} ms over its p50",
        ),
    ]

"""From the start of a worker's process to its first call of the model."""

import time

from bench.arena import Arena
from bench.rows import Row, Target, median, spread
from bench.size import Size


def measure(arena: Arena, size: Size) -> list[Row]:
    """A job is waiting when the worker is started."""
    taken_s = []
    for _ in range(size.starts):
        session = arena.new_run()
        arena.model.reset()
        arena.producer.fill([session])
        began = time.monotonic()
        # The warm-up within waits until the worker works.
        with arena.chat_worker():
            taken_s.append(arena.model.calls()[0].started_s - began)
        arena.say(f"start: {taken_s[-1]:.2f} s")
    return [
        Row(
            "start",
            "worker start to first job",
            median(taken_s),
            "s",
            Target(2.0, 1.5),
            spread(taken_s, "s"),
        )
    ]

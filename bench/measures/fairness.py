"""Sessions with one job each, beside a session with a thousand waiting."""

from bench.arena import Arena
from bench.conversation import sessions
from bench.rows import Row, median, spread
from bench.size import Size

MODEL = "delay:20ms"


def measure(arena: Arena, size: Size) -> list[Row]:
    """The time for the single jobs, first alone, then beside the backlog."""
    with arena.chat_worker():
        alone_s = _rounds(arena, size)
        arena.say(f"fairness: {size.crowd} sessions alone {median(alone_s) * 1000:.0f} ms")
        arena.producer.fill([arena.new_run()] * size.backlog, MODEL)
        beside_s = _rounds(arena, size)
        arena.say(f"fairness: beside the backlog {median(beside_s) * 1000:.0f} ms")
    return [
        Row(
            "fairness",
            f"{size.crowd} sessions beside {size.backlog:,} jobs of another / alone",
            median(beside_s) / median(alone_s),
            "x",
            None,
            f"beside {spread(beside_s, 's')}, alone {spread(alone_s, 's')}",
        )
    ]


def _rounds(arena: Arena, size: Size) -> list[float]:
    taken_s = []
    for _ in range(size.rounds):
        ids = sessions(arena.new_run(), size.crowd)
        arena.seed_chat(ids)
        taken_s.append(arena.producer.burst("chat", ids, MODEL))
    return taken_s

"""A turn of a session with a long history against one with a short history."""

from bench.arena import Arena
from bench.rows import Row, Target, median, shown
from bench.size import Size

SHORT_MESSAGES = 10


def measure(arena: Arena, size: Size) -> list[Row]:
    """Turns of both by turns; the model is shown the same number of messages."""
    with arena.chat_worker():
        run = arena.new_run()
        short = [f"{run}-short-{i}" for i in range(size.history_turns)]
        # Ten long histories are enough: a turn makes a history longer by two messages.
        long = [f"{run}-long-{i % 10}" for i in range(size.history_turns)]
        arena.seed_chat(short, SHORT_MESSAGES)
        arena.seed_chat(sorted(set(long)), size.long_history)
        mixed = [one for pair in zip(short, long, strict=True) for one in pair]
        taken_ms = arena.producer.turns(mixed, max_history=SHORT_MESSAGES)
    short_ms, long_ms = median(taken_ms[::2]), median(taken_ms[1::2])
    arena.say(f"history: {short_ms:.2f} ms with {SHORT_MESSAGES}, {long_ms:.2f} ms with many")
    return [
        Row(
            "history",
            f"turn with {size.long_history:,} stored messages / with {SHORT_MESSAGES}",
            long_ms / short_ms,
            "x",
            Target(1.1, 1.1),
            f"{shown(long_ms)} ms, {shown(short_ms)} ms (medians)",
        )
    ]

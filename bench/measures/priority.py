"""Interactive jobs at a busy model, alone and beside a thousand sessions that have time."""

from dataclasses import dataclass

from bench.arena import Arena
from bench.conversation import sessions
from bench.rows import Row, Target, percentile, shown
from bench.size import Size
from tasks import Priority

SLOTS, MODEL = 4, "delay:100ms"
GOAL = Target(2, 2)


@dataclass(frozen=True, slots=True)
class Waits:
    """Of the interactive jobs of all rounds: how long each waited for its call of the model, and
    how many calls began before its own; and how many of those were others'."""

    seconds: list[float]
    calls: list[float]
    others: int


def measure(arena: Arena, size: Size) -> list[Row]:
    """The waits of the interactive jobs, and what the crowd got meanwhile."""
    with arena.chat_worker(OLLAMA_NUM_PARALLEL_BY_MODEL=f"{MODEL}={SLOTS}"):
        alone = _rounds(arena, size)
        arena.producer.fill(sessions(arena.new_run(), size.backlog), MODEL, Priority.BATCH)
        beside = _rounds(arena, size)
    alone_s, beside_s = percentile(alone.seconds, 99), percentile(beside.seconds, 99)
    arena.say(f"priority: p99 of the wait {alone_s:.2f} s alone, {beside_s:.2f} s beside the crowd")
    calls = percentile(beside.calls, 99) / percentile(alone.calls, 99)
    return [
        Row(
            "priority",
            f"wait of {size.crowd} interactive jobs beside {size.backlog:,} waiting batch sessions "
            "/ alone, p99",
            beside_s / alone_s,
            "x",
            GOAL,
            f"counted in calls of the model {shown(calls)} x; batch calls meanwhile: "
            f"{beside.others}; alone {shown(alone_s)} s",
        )
    ]


def _rounds(arena: Arena, size: Size) -> Waits:
    waits = Waits([], [], 0)
    others = 0
    for _ in range(min(3, size.rounds)):
        arena.model.reset()
        sent_s = arena.producer.urge(sessions(arena.new_run(), size.crowd), MODEL)
        calls = sorted(arena.model.calls(), key=lambda call: call.started_s)
        last = max(at for at, call in enumerate(calls) if call.asked in sent_s)
        for at, call in enumerate(calls[: last + 1]):
            if call.asked in sent_s:
                waits.seconds.append(call.started_s - sent_s[call.asked])
                waits.calls.append(at)
            else:
                others += 1
    return Waits(waits.seconds, waits.calls, others)

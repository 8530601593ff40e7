"""Relaying many token streams to Redis at once."""

from dataclasses import dataclass

from bench.arena import Arena
from bench.conversation import AGENT, sessions
from bench.meter import Meter
from bench.rows import Row, Target, median, shown, spread
from bench.size import Size

TOKENS = 200
"""Of the short streams; the long ones have twice as many."""
PACE_MS = 5


@dataclass(frozen=True, slots=True)
class _Round:
    cpu_ms: float
    tokens_per_s: float


def measure(arena: Arena, size: Size) -> list[Row]:
    """CPU for the tokens alone: streams of 400 tokens less streams of 200."""
    streams = size.relay_streams
    short: list[_Round] = []
    long: list[_Round] = []
    with arena.chat_worker(WORKER_CONCURRENCY=str(streams)) as worker:
        meter = arena.meter(worker)
        for number in range(size.rounds):
            short.append(_round(arena, meter, streams, TOKENS))
            long.append(_round(arena, meter, streams, 2 * TOKENS))
            arena.say(f"relay {number + 1}/{size.rounds}: {short[-1].tokens_per_s:,.0f} tokens/s")
    thousands = streams * TOKENS / 1000
    whole = [one.cpu_ms / thousands for one in short]
    alone = (median([one.cpu_ms for one in long]) / thousands) - median(whole)
    rates = [one.tokens_per_s for one in short]
    return [
        Row(
            "relay",
            f"CPU per 1000 tokens at {streams} streams",
            alone,
            "ms",
            Target(35, 15),
            f"with the jobs' own cost {shown(median(whole))} ms",
        ),
        Row(
            "relay",
            "tokens per second into the event streams",
            median(rates),
            "",
            Target(19_000, 19_000, at_least=True),
            f"{spread(rates)}; the model makes {streams * 1000 // PACE_MS:,} at most",
        ),
    ]


def _round(arena: Arena, meter: Meter, streams: int, tokens: int) -> _Round:
    ids = sessions(arena.new_run(), streams)
    arena.seed_chat(ids)
    before_s = meter.cpu_s()
    arena.producer.burst("chat", ids, f"slow-tokens:{tokens}x{PACE_MS}ms")
    cpu_ms = (meter.cpu_s() - before_s) * 1000
    spans_s = [_span_s(arena, session) for session in ids]
    arena.model.reset()
    return _Round(cpu_ms, sum(tokens / span for span in spans_s))


def _span_s(arena: Arena, session: str) -> float:
    """From a stream's first event to its last, by Redis' own clock."""
    key = arena.keyspace.session(AGENT, session).events
    first, last = (
        arena.valkey.command(order, key, *between, "COUNT", 1)
        for order, between in (("XRANGE", ("-", "+")), ("XREVRANGE", ("+", "-")))
    )
    return (_ms(last) - _ms(first)) / 1000


def _ms(entries: object) -> int:
    match entries:
        case [[str(entry_id), *_]]:
            return int(entry_id.partition("-")[0])
    raise AssertionError(f"no events: {entries!r}")

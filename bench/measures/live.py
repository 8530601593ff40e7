"""What a person notices of live tokens: the first one, many at once, and Stop."""

import time

from bench.arena import Arena
from bench.conversation import sessions
from bench.rows import Row, Target, median, percentile, shown, spread
from bench.size import Size

PACED, PACED_S = "slow-tokens:80x50ms", 4.0
WAVES = 4
LONG = "slow-tokens:200x100ms"
ENDLESS = "endless"
OPEN_FOR_S = 4.0
PATIENCE_S = 60.0


def measure(arena: Arena, size: Size) -> list[Row]:
    """The model's first token to its follower; memory with many streams; cancel to the close."""
    return [_first_token(arena, size), _memory(arena, size), _stop(arena, size)]


def _first_token(arena: Arena, size: Size) -> Row:
    """Streams begin at a steady pace, so that as many as are asked for are open at any time."""
    streams = size.relay_streams
    with arena.chat_worker(WORKER_CONCURRENCY=str(2 * streams)):
        arena.model.reset()
        ids = sessions(arena.new_run(), WAVES * streams)
        seen_s = arena.producer.follow(ids, PACED, PACED_S / streams)
        said_s = {call.asked: call.first_token_s for call in arena.model.calls()}
    late_ms = [
        (seen_s[session] - said) * 1000
        for session in ids[streams:]  # the first wave opens the streams
        if (said := said_s[session]) is not None
    ]
    return Row(
        "live",
        f"model's first token to its follower, {streams} streams, p99",
        percentile(late_ms, 99),
        "ms",
        Target(30, 30),
        f"p50 {shown(median(late_ms))} ms, p90 {shown(percentile(late_ms, 90))} ms",
    )


def _memory(arena: Arena, size: Size) -> Row:
    amount, rss_mb = size.wide_sessions, list[float]()
    with arena.chat_worker(WORKER_CONCURRENCY=str(amount)) as worker:
        arena.model.reset()
        arena.producer.fill(sessions(arena.new_run(), amount), LONG)
        until = time.monotonic() + PATIENCE_S
        while arena.model.active_calls() < amount:
            assert time.monotonic() < until, f"{arena.model.active_calls()} streams are open"
            time.sleep(0.1)
        ends = time.monotonic() + OPEN_FOR_S
        while time.monotonic() < ends:
            rss_mb.append(arena.meter(worker).rss_mb())
            time.sleep(0.2)
        assert arena.model.active_calls() == amount, "they were open all the time"
    return Row(
        "live",
        f"memory with {amount} streams open",
        max(rss_mb),
        "MB",
        Target(200, 100),
        spread(rss_mb, "MB"),
    )


def _stop(arena: Arena, size: Size) -> Row:
    with arena.chat_worker():
        arena.model.reset()
        asked_s = arena.producer.stop(sessions(arena.new_run(), size.stops), ENDLESS)
        calls = arena.model.calls()
    took_ms = [
        (call.disconnected_s - asked_s[call.asked]) * 1000
        for call in calls
        if call.disconnected_s is not None
    ]
    assert len(took_ms) == size.stops, "every call was left"
    return Row(
        "live",
        "cancel to the model's connection closed, p50",
        median(took_ms),
        "ms",
        Target(100, 100),
        f"p90 {shown(percentile(took_ms, 90))} ms, at most {shown(max(took_ms))} ms",
    )

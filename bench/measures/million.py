"""A million stale sessions of another agent: listing beside them, and cleaning them up."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

from bench.arena import Arena
from bench.conversation import sessions
from bench.rows import Row, Target, median, percentile, shown
from bench.size import Size
from memory import CleanedUp, Connection, Housekeeping, MemorySettings, index

OTHER = "other"
LISTED_AGENT = "listed"
ALONE_DB = 7
LISTED = 100
LISTINGS = 50
TURNS = 100
IDLE_S = 5.0
BATCH = 10_000
BUDGET_S = 600.0

# For a single server only: the names of the histories are made from a number.
_MAKE = """
for i = ARGV[1], ARGV[2] do
  redis.call('RPUSH', KEYS[1] .. i, ARGV[3], ARGV[3])
  redis.call('EXPIRE', KEYS[1] .. i, 86400)
  redis.call('ZADD', KEYS[2], 1, 's' .. i)
end
"""


def measure(arena: Arena, size: Size) -> list[Row]:
    """Listing with and without the others; clean-up, and turns meanwhile."""
    amount = size.million_sessions
    with arena.chat_worker():
        before_ms = _turns_ms(arena)
        _make_sessions(arena, 0, OTHER, amount)
        few_ms, many_ms = _listings_ms(arena)
        arena.say(f"million: listing {median(few_ms):.2f} ms, beside {median(many_ms):.2f} ms")
        time.sleep(IDLE_S)
        cleaned, took_s, meanwhile_ms = _cleaned_beside_turns(arena, amount)
    arena.say(f"million: {cleaned.deleted:,} of {amount:,} deleted in {took_s:.1f} s")
    ratio = percentile(meanwhile_ms, 99) / percentile(before_ms, 99)
    return [
        Row(
            "million",
            f"listing {LISTED} sessions beside {amount:,} of others / alone",
            median(many_ms) / median(few_ms),
            "x",
            Target(1.2, 1.2),
            f"{shown(median(many_ms))} ms, {shown(median(few_ms))} ms",
        ),
        Row(
            "million",
            f"clean-up of {amount:,} stale sessions",
            took_s,
            "s",
            Target(60, 60),
            f"{cleaned.deleted:,} deleted",
        ),
        Row(
            "million",
            "p99 of a turn during clean-up / before",
            ratio,
            "x",
            Target(2, 1.5),
            f"{len(meanwhile_ms)} turns meanwhile; "
            f"p50 {shown(median(meanwhile_ms))} ms, before {shown(median(before_ms))} ms",
        ),
    ]


def _make_sessions(arena: Arena, db: int, agent: str, amount: int) -> None:
    prefix = arena.keyspace.session(agent, "s").history
    message = '{"role":"user","content":"long ago"}'
    with arena.client(db) as client:
        make = client.register_script(_MAKE)
        client.zadd(arena.keyspace.agents, {agent: 1})
        for start in range(0, amount, BATCH):
            end = min(start + BATCH, amount) - 1
            make(keys=[prefix, arena.keyspace.sessions(agent)], args=[start, end, message])


def _listings_ms(arena: Arena) -> tuple[list[float], list[float]]:
    """Listings of an agent alone in a db, and of one beside the others, by turns."""
    alone = Connection(MemorySettings(url=arena.valkey.url(ALONE_DB)))
    taken_ms: tuple[list[float], list[float]] = ([], [])
    for db in (ALONE_DB, 0):
        _make_sessions(arena, db, LISTED_AGENT, LISTED)
    for _ in range(LISTINGS):
        for connection, spent_ms in zip((alone, arena.memory), taken_ms, strict=True):
            began = time.monotonic()
            listed = index.live_sessions(connection, arena.keyspace, LISTED_AGENT)
            spent_ms.append((time.monotonic() - began) * 1000)
            assert len(listed) == LISTED
    alone.close()
    return taken_ms


def _turns_ms(arena: Arena) -> list[float]:
    return arena.producer.turns(sessions(arena.new_run(), TURNS))


def _cleaned_beside_turns(arena: Arena, amount: int) -> tuple[CleanedUp, float, list[float]]:
    taken_ms: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        cleaning = pool.submit(_clean, arena, amount)
        ended: Future[float] = Future()
        cleaning.add_done_callback(lambda _: ended.set_result(time.monotonic()))
        while not cleaning.done():
            taken_ms += _turns_ms(arena)
        return cleaning.result(), ended.result() - began, taken_ms


def _clean(arena: Arena, amount: int) -> CleanedUp:
    housekeeping = Housekeeping(arena.memory, arena.keyspace)
    return housekeeping.clean_stale(idle_s=IDLE_S, max_sessions=2 * amount, budget_s=BUDGET_S)

"""The HTTP gateway: requests that it takes in, and tokens on their way from Redis to clients."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from bench.arena import ROOT, Arena
from bench.conversation import AGENT, sessions
from bench.meter import Meter
from bench.rows import Row, Target, median, percentile, shown, spread
from bench.size import Size
from sandbox.ports import free_port
from sandbox.process import ServerProcess

PROCESSES = 2
CONNECTIONS = 64
HELLO = {"model": AGENT, "input": "Hello", "background": True}
STREAMED = "slow-tokens:60x250ms"
BARE_DB = 7
WARM_UP = 200


def measure(arena: Arena, size: Size) -> list[Row]:
    """Requests per second beside a bare handler; lateness and memory with many streams open."""
    rates = _rates(arena, size)
    for row in rates:
        arena.say(f"  {row.what}: {row.measured} ({row.detail})")
    return [*rates, *_streams(arena, size)]


def _rates(arena: Arena, size: Size) -> list[Row]:
    """Both are up all the time, and asked by turns; nobody answers the jobs."""
    ours: list[float] = []
    bare: list[float] = []
    with ExitStack() as running:
        gateways = [running.enter_context(_gateway(arena, number)) for number in range(PROCESSES)]
        plain = [running.enter_context(_bare(arena, number)) for number in range(PROCESSES)]
        cpu_ms = {"ours": list[float](), "bare": list[float]()}
        for number in range(-1, size.rounds):
            amount = WARM_UP if number < 0 else size.requests
            for name, servers, rates in (("ours", gateways, ours), ("bare", plain, bare)):
                before_s = _cpu_s(servers)
                ports = [port for _, port in servers]
                took_s, _ = arena.producer.post_all(ports, HELLO, amount, CONNECTIONS)
                if number >= 0:
                    rates.append(amount / took_s)
                    cpu_ms[name].append((_cpu_s(servers) - before_s) * 1000 / amount)
            arena.valkey.command("FLUSHALL")
    behind = f"gateway {shown(median(ours))}/s ({spread(ours)}), bare {shown(median(bare))}/s"
    rate = f"requests per second that {PROCESSES} gateways take in"
    cpu = median(cpu_ms["ours"])
    return [
        Row("gateway", f"{rate} / a bare handler", median(ours) / median(bare), "x",
            Target(0.5, 0.5, at_least=True), behind),
        Row("gateway", rate, median(ours), "", Target(1000, 1000, at_least=True), spread(ours)),
        Row("gateway", "a gateway's CPU per request", cpu, "ms", None,
            f"the bare handler's {shown(median(cpu_ms['bare']))} ms"),
    ]  # fmt: skip


def _streams(arena: Arena, size: Size) -> list[Row]:
    amount = size.wide_sessions
    with (
        arena.chat_worker(WORKER_CONCURRENCY=str(amount)),
        _gateway(arena, 0, GATEWAY_MAX_CONNECTIONS=str(2 * amount)) as (gateway, port),
    ):
        ids = sessions(arena.new_run(), amount)
        meter = Meter(gateway.pid)
        before_s = meter.cpu_s()
        came_s = arena.producer.listen_all(port, ids, {"model": STREAMED, "input": "Hello"})
        cpu_ms, rss_mb = 1000 * (meter.cpu_s() - before_s), meter.rss_mb()
        told_ms = [_told_ms(arena, one) for one in ids]
    late_ms = _late_ms(told_ms, came_s)
    return [
        Row("gateway", f"Redis to client, {amount} streams, p99", percentile(late_ms, 99), "ms",
            Target(20, 20), f"p50 {shown(median(late_ms))} ms, {len(late_ms):,} tokens"),
        Row("gateway", "a gateway's CPU per 1000 streamed tokens",
            1000 * cpu_ms / sum(map(len, came_s)), "ms", detail="with the requests"),
        Row("gateway", f"a gateway's memory after {amount} streams", rss_mb, "MB",
            Target(250, 250)),
    ]  # fmt: skip


def _told_ms(arena: Arena, session: str) -> list[int]:
    """When each token of a session came into its stream, by Redis' clock."""
    key = arena.keyspace.session("default", session).events
    entries = arena.valkey.command("XRANGE", key, "-", "+")
    said = (
        [entry for entry in entries if '"token"' in str(entry)] if isinstance(entries, list) else []
    )
    return [int(str(entry[0]).partition("-")[0]) for entry in said if isinstance(entry, list)]


def _late_ms(told_ms: Sequence[list[int]], came_s: Sequence[Sequence[float]]) -> list[float]:
    """How long after its entry in Redis each token came, of those that came while all streams were
    open; the two clocks are this machine's."""
    all_open_ms = max(told[0] for told in told_ms)
    first_ends_ms = min(told[-1] for told in told_ms)
    return [
        at_s * 1000 - at_ms
        for told, came in zip(told_ms, came_s, strict=True)
        for at_ms, at_s in zip(told, came, strict=True)
        if all_open_ms <= at_ms < first_ends_ms
    ]


def _cpu_s(servers: Sequence[tuple[ServerProcess, int]]) -> float:
    return sum(Meter(process.pid).cpu_s() for process, _ in servers)


@contextmanager
def _gateway(arena: Arena, number: int, **settings: str) -> Iterator[tuple[ServerProcess, int]]:
    process, address = arena.griot.gateway(None, f"gateway-{number}", **settings)
    try:
        yield process, int(address.rpartition(":")[2])
    finally:
        process.kill()


@contextmanager
def _bare(arena: Arena, number: int) -> Iterator[tuple[ServerProcess, int]]:
    port = free_port()
    process = ServerProcess(
        (sys.executable, "-m", "uvicorn", "bench.peers.bare:app", "--port", str(port),
         "--no-access-log"),
        log_path=arena.directory / f"bare-{number}.log",
        cwd=ROOT,
        env={**arena.griot.env, "REDIS_URL": arena.valkey.url(BARE_DB)},
        name=f"bare-{number}",
    )  # fmt: skip
    with process:
        process.wait_ready(lambda: "Uvicorn running on" in process.log_text(), 30)
        yield process, port

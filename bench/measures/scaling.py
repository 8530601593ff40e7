"""Several worker processes on one Redis: what a job costs when there are more of them."""

import os
from contextlib import ExitStack

from bench.arena import Arena
from bench.conversation import sessions
from bench.rows import Row, Target, median, shown
from bench.size import Size
from sandbox.process import ServerProcess

MODEL = "delay:20ms"
WORKERS = (1, 2, 4)
ROUNDS = 3
CONSTANT = Target(0.8, 0.9, at_least=True)


def measure(arena: Arena, size: Size) -> list[Row]:
    """Jobs per second of CPU, of all workers and of Redis, against one worker; by turns."""
    rates: dict[int, list[float]] = {amount: [] for amount in WORKERS}
    per_cpu_s: dict[int, list[float]] = {amount: [] for amount in WORKERS}
    for number in range(min(ROUNDS, size.rounds)):
        for amount in WORKERS:
            seconds, cpu_s = _round(arena, amount, size.throughput_jobs)
            rates[amount].append(size.throughput_jobs / seconds)
            per_cpu_s[amount].append(size.throughput_jobs / cpu_s)
        shown_rates = ", ".join(f"{amount}: {shown(rates[amount][-1])}" for amount in WORKERS)
        arena.say(f"scaling {number + 1}: jobs/s by workers {shown_rates}")
    cores = f"{os.cpu_count()} cores for workers, Redis, model and producer"
    alone = median(per_cpu_s[1])
    return [
        Row(
            "scaling",
            f"jobs per CPU second, {amount} workers / one",
            median(per_cpu_s[amount]) / alone,
            "x",
            CONSTANT,
            f"{shown(median(per_cpu_s[amount]))} and {shown(alone)} jobs per CPU second; "
            f"{shown(median(rates[amount]))} and {shown(median(rates[1]))} jobs/s on {cores}",
        )
        for amount in WORKERS[1:]
    ]


def _round(arena: Arena, amount: int, jobs: int) -> tuple[float, float]:
    """Seconds from the first job to the last result, and CPU seconds of workers and Redis."""
    with ExitStack() as stack:
        workers = [stack.enter_context(arena.chat_worker()) for _ in range(amount)]
        ids = sessions(arena.new_run(), jobs)
        arena.seed_chat(ids)
        before_s = _cpu_s(arena, workers)
        seconds = arena.producer.burst("chat", ids, MODEL)
        return seconds, _cpu_s(arena, workers) - before_s


def _cpu_s(arena: Arena, workers: list[ServerProcess]) -> float:
    return arena.redis_cpu_s() + sum(arena.meter(worker).cpu_s() for worker in workers)

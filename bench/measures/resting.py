"""What processes use that have nothing to do."""

import time
from contextlib import ExitStack

from bench.arena import Arena
from bench.rows import Row, Target, shown
from bench.size import Size

SETTLED_S = 3.0
CPU = Target(3, 0.3)
MEMORY = Target(160, 75)


def measure(arena: Arena, size: Size) -> list[Row]:
    """CPU of a worker, a maintenance worker and beat, and their memory, over some seconds."""
    with ExitStack() as stack:
        worker = stack.enter_context(arena.chat_worker())
        maintenance = stack.enter_context(arena.griot.maintenance())
        beat = stack.enter_context(arena.griot.beat())
        meters = {
            "a worker": arena.meter(worker),
            "a maintenance worker": arena.meter(maintenance),
            "beat": arena.meter(beat),
        }
        time.sleep(SETTLED_S)
        before_s = {name: meter.cpu_s() for name, meter in meters.items()}
        redis_before_s, began_s = arena.redis_cpu_s(), time.monotonic()
        time.sleep(size.rest_s)
        used_s = {name: meter.cpu_s() - before_s[name] for name, meter in meters.items()}
        redis_s, took_s = arena.redis_cpu_s() - redis_before_s, time.monotonic() - began_s
        rss_mb = {name: meter.rss_mb() for name, meter in meters.items()}
    over = f"over {took_s:.0f} s"
    rows = [
        Row("resting", f"CPU of {name} at rest", 100 * cpu_s / took_s, "%", CPU, over)
        for name, cpu_s in used_s.items()
    ]
    others = ", ".join(f"{name} {shown(rss)} MB" for name, rss in rss_mb.items())
    redis = 100 * redis_s / took_s
    return [
        *rows,
        Row("resting", "CPU of Redis beside them", redis, "%", None, over),
        Row("resting", "memory of a worker at rest", rss_mb["a worker"], "MB", MEMORY, others),
    ]

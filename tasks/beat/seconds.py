"""The moments at which the timers of a process run, all at once.

Each that runs by itself wakes an idle process and makes a round trip of its own; what begins in one
turn of the event loop goes to Redis together. The moments of each process are its own, so that not
all of them ask Redis at the same time.
"""

import asyncio
import math
import random

from tasks.process.per_process import PerProcess

EARLY_S = 0.01
"""A timer may come so much before its moment."""

_offset_s = PerProcess(random.random, has_settings=False)


async def rest(seconds: float) -> None:
    """Sleep for so long, or less: from a second on until the last of this process's moments."""
    if seconds < 1.0:
        await asyncio.sleep(seconds)
        return
    now_s = asyncio.get_running_loop().time() - _offset_s()
    await asyncio.sleep(math.floor(now_s + seconds + EARLY_S) - now_s)

"""How slow this machine is now: short times and all patience of the tests grow with it.

A test fails because of what the code does, never because of who else uses the machine. So the
first process of the tests measures, before it starts the others, what a fixed piece of work takes.
"""

import math
import os
import time
from collections.abc import Callable

REFERENCE_S = 0.025
"""What the work takes on an idle core of 2024."""

PIECES = 6
MOST = 4.0
"""What a test has to sit out grows no further: a run is to end."""

_MEASURED = "TESTS_MEASURED"


def _work_s() -> float:
    began, number = time.perf_counter(), 0
    for n in range(450_000):
        number = (number * 31 + n) & 0xFFFF
    return time.perf_counter() - began


def _measured() -> float:
    """The worst of a few pieces: a neighbour that comes and goes counts as one that stays.

    The processes of xdist inherit it: they start all at once, and would measure each other.
    """
    known = os.environ.get(_MEASURED)
    if known is None:
        known = f"{max(_work_s() for _ in range(PIECES)) / REFERENCE_S:.2f}"
        os.environ[_MEASURED] = known
    return float(known)


def _crowd() -> float:
    """How much slower the other processes of tests make this one, which mostly wait."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return math.sqrt(processes / (os.cpu_count() or 1))


SLOWNESS = min(MOST, max(1.0, _crowd()) * max(1.0, _measured()))
"""How many times longer something takes here than on an idle machine: 1 or more."""


def scaled(seconds: float) -> float:
    """What takes at most `seconds` on an idle machine takes at most so many here."""
    return seconds * SLOWNESS


def cpu_s(work: Callable[[], object], *, tries: int = 3) -> float:
    """The CPU time of this thread that `work` takes, seconds: the least of some tries.

    A neighbour in the same caches makes a try dearer, and never cheaper.
    """
    return min(_cpu_s(work) for _ in range(tries))


def _cpu_s(work: Callable[[], object]) -> float:
    began_s = time.thread_time()
    work()
    return time.thread_time() - began_s

"""How slow this machine is now: short times and all patience of the tests grow with it.

A test fails because of what the code does, never because of who else uses the machine. So each
process of the tests measures once, before the first test, what a fixed piece of work takes here.
"""

import os
import time

REFERENCE_S = 0.025
"""What the work takes on an idle core of 2024."""

PIECES = 6
MOST = 4.0
"""What a test has to sit out grows no further: a run is to end."""


def _work_s() -> float:
    began, number = time.perf_counter(), 0
    for n in range(450_000):
        number = (number * 31 + n) & 0xFFFF
    return time.perf_counter() - began


def _measured() -> float:
    """The worst of a few pieces: a neighbour that comes and goes counts as one that stays."""
    return max(_work_s() for _ in range(PIECES)) / REFERENCE_S


def _crowd() -> float:
    """Processes of tests for each core. They start at different times, and then work at once."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return processes / (os.cpu_count() or 1)


SLOWNESS = min(MOST, max(1.0, _crowd(), _measured()))
"""How many times longer something takes here than on an idle machine: 1 or more."""


def scaled(seconds: float) -> float:
    """What takes at most `seconds` on an idle machine takes at most so many here."""
    return seconds * SLOWNESS

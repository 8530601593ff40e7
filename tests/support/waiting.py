"""Waiting for a fact instead of sleeping: the one place in the tests that looks at the clock.

All times are those of an idle machine; the waiting is longer on one that is slower.
"""

import asyncio
import time
from collections.abc import Callable

from tests.support.machine import scaled

POLL_S, MOST_POLL_S = 0.01, 0.03
WAITED_PART = 0.05
"""Who has waited for long looks less often: most of what is asked meanwhile costs a core."""


def wait_until(predicate: Callable[[], object], *, timeout_s: float = 10.0, what: str) -> None:
    """Return as soon as `predicate()` is true; fail with `what` after `timeout_s` seconds."""
    patience_s, began = scaled(timeout_s), time.monotonic()
    while not predicate():
        time.sleep(_pause_s(began, patience_s, what))


async def eventually(
    predicate: Callable[[], object], *, timeout_s: float = 10.0, what: str
) -> None:
    """`wait_until` for a test that runs on an event loop."""
    patience_s, began = scaled(timeout_s), time.monotonic()
    while not predicate():
        await asyncio.sleep(_pause_s(began, patience_s, what))


def _pause_s(began: float, patience_s: float, what: str) -> float:
    """How long until the next look; AssertionError where there is none."""
    waited_s = time.monotonic() - began
    if waited_s >= patience_s:
        raise AssertionError(f"not within {patience_s:g} s: {what}")
    return min(max(POLL_S, waited_s * WAITED_PART), MOST_POLL_S)


def elapsed(seconds: float) -> Callable[[], bool]:
    """A predicate that is true once `seconds` have passed: for a fault that must last."""
    until = time.monotonic() + scaled(seconds)
    return lambda: time.monotonic() >= until

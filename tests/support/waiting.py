"""Waiting for a fact instead of sleeping: the one place in the tests that looks at the clock.

All times are those of an idle machine; the waiting is longer on one that is slower.
"""

import asyncio
import time
from collections.abc import Callable

from tests.support.machine import scaled

POLL_S = 0.01


def wait_until(predicate: Callable[[], object], *, timeout_s: float = 10.0, what: str) -> None:
    """Return as soon as `predicate()` is true; fail with `what` after `timeout_s` seconds."""
    patience_s = scaled(timeout_s)
    deadline = time.monotonic() + patience_s
    while not predicate():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {patience_s:g} s: {what}")
        time.sleep(POLL_S)


async def eventually(
    predicate: Callable[[], object], *, timeout_s: float = 10.0, what: str
) -> None:
    """`wait_until` for a test that runs on an event loop."""
    patience_s = scaled(timeout_s)
    deadline = time.monotonic() + patience_s
    while not predicate():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {patience_s:g} s: {what}")
        await asyncio.sleep(POLL_S)


def elapsed(seconds: float) -> Callable[[], bool]:
    """A predicate that is true once `seconds` have passed: for a fault that must last."""
    until = time.monotonic() + scaled(seconds)
    return lambda: time.monotonic() >= until

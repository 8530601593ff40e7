"""How much a heavy test does: some of it in every run, all of it in `make test-long`.

A test that is marked `long` takes its numbers (seeds, cancels, rounds) from `effort`; hypothesis'
tests, which are marked by themselves, try more examples.
"""

import os

VARIABLE = "TESTS_LONG"
IS_LONG = os.environ.get(VARIABLE, "") not in ("", "0")


def effort(usual: int, *, long: int) -> int:
    """`usual` in every run, `long` with TESTS_LONG=1."""
    return long if IS_LONG else usual


def end_grace_s() -> float:
    """How long a process may take to end that no test needs any more: a killed one writes down
    nothing of what coverage has measured in it."""
    return 10.0 if "COVERAGE_PROCESS_CONFIG" in os.environ else 0.0

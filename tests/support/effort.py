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

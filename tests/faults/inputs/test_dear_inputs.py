"""The dearest that the limits allow costs no callback of the event loop more than 50 ms."""

from pathlib import Path

import pytest

from bench.arena import Arena
from bench.measures import dearest
from bench.size import QUICK
from tests.support.machine import scaled

MOST_MS = 50


@pytest.mark.slow
def test_no_allowed_input_keeps_the_event_loop(tmp_path: Path) -> None:
    """By the CPU time of its thread, which is what the other turns wait for."""
    with Arena(keep_dir=tmp_path) as arena:
        (row,) = dearest.measure(arena, QUICK)
    assert row.value <= scaled(MOST_MS), row.detail

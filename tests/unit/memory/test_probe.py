"""Whether a server answers, asked from any thread and in any process."""

import os
import signal

import pytest

from memory.redis.probe import Probe
from tests.support.machine import scaled


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_lock_held_at_a_fork_does_not_hold_up_the_child() -> None:
    """A thread of the parent may have been about to ask."""
    probe = Probe(lambda: None)
    with probe._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(round(scaled(10)))  # ends a child that waits for ever
            os._exit(0 if probe.is_answered(scaled(5)) else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert probe.is_answered(scaled(5))

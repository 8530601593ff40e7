"""One round of the soak with a fixed seed: fault 34; for minutes: `python -m tests.faults.soak`."""

import pytest

from tests.faults.rig import Rig
from tests.faults.soak import Soak


@pytest.mark.timeout(150)
def test_a_round_of_random_faults(rig: Rig) -> None:
    """Whatever breaks in whatever order, all invariants hold afterwards."""
    soaking = Soak(rig, seed=1)
    soaking.round(sessions=4)
    assert soaking.steady.is_running
    assert soaking.faults.total() > 3

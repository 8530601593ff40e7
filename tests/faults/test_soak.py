"""One round of the soak with a fixed seed: fault 34; for minutes: `make soak`."""

import pytest

from tests.support.effort import effort
from tests.support.faults.rig import Rig
from tests.support.faults.soak import (
    MAX_GROWTH_BYTES,
    MAX_GROWTH_FILES,
    Footprint,
    Soak,
    assert_not_grown,
)

ROUNDS = effort(1, long=10)
SESSIONS = effort(4, long=12)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_round_of_random_faults(rig: Rig) -> None:
    """Whatever breaks in whatever order, all invariants hold afterwards."""
    soaking = Soak(rig, seed=1)
    for _ in range(ROUNDS):
        soaking.round(sessions=SESSIONS)
    assert soaking.steady.is_running
    assert soaking.faults.total() > 3


@pytest.mark.parametrize(
    "after",
    [Footprint(100_000_000 + MAX_GROWTH_BYTES, 40), Footprint(100_000_000, 40 + MAX_GROWTH_FILES)],
)
def test_a_worker_that_grows_is_noticed(after: Footprint) -> None:
    """By its memory or by its files; of lost connections a little memory is known to stay."""
    before = Footprint(100_000_000, 40)
    assert_not_grown(before, before, losses=0)
    with pytest.raises(AssertionError, match=r"grown|more open files"):
        assert_not_grown(before, after, losses=0)

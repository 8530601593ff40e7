"""Random cancels, thousands in the long run; for more: `-m tests.support.faults.cancel_churn`."""

import pytest

from tasks import CancelOutcome
from tests.support.effort import effort
from tests.support.faults.cancel_churn import Churn
from tests.support.faults.rig import Rig

CANCELS = effort(150, long=2000)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_hundreds_of_random_cancels_leave_nothing_behind(rig: Rig) -> None:
    """No open request at the model, no stuck connection, no session that does not go on."""
    churn = Churn(rig, seed=1)
    churn.run(CANCELS)
    assert (
        min(churn.counts[CancelOutcome.CANCELLED], churn.counts[CancelOutcome.STOPPING])
        > CANCELS / 10
    )

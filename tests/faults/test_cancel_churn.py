"""Thousands of random cancels; for more: `python -m tests.support.faults.cancel_churn`."""

import pytest

from tasks import CancelOutcome
from tests.support.faults.cancel_churn import CANCELS, Churn
from tests.support.faults.rig import Rig


@pytest.mark.timeout(180)
def test_thousands_of_random_cancels_leave_nothing_behind(rig: Rig) -> None:
    """No open request at the model, no stuck connection, no session that does not go on."""
    churn = Churn(rig, seed=1)
    churn.run(CANCELS)
    assert min(churn.counts[CancelOutcome.CANCELLED], churn.counts[CancelOutcome.STOPPING]) > 200

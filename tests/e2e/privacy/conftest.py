"""Processes as users start them: what others see of those is put to the test, their titles too."""

import pytest

from sandbox.process import Starter, started


@pytest.fixture(scope="module")
def starter() -> Starter:
    """A process of its own from its first line."""
    return started

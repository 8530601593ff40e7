"""What `griot status` says of who waits for a model."""

import pytest

from tasks.overview.slots import ModelSlots
from worker.cli.status import waiting_shown


@pytest.mark.parametrize(
    ("waiting_of", "shown"),
    [
        ({}, "0"),
        ({"normal": 3}, "3"),
        ({"interactive": 2, "batch": 1000}, "2 interactive, 1000 batch"),
        ({"batch": 1}, "1 batch"),
    ],
)
def test_classes_are_named_where_there_are_others_than_normal(
    waiting_of: dict[str, int], shown: str
) -> None:
    """A number, as ever, where nobody uses priorities."""
    waiting = sum(waiting_of.values())
    assert waiting_shown(ModelSlots("m", {}, {}, waiting, None, waiting_of)) == shown

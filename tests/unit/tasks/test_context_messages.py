"""How much of the history a turn brings along."""

import pytest

from agents import Profile, ToolSpec
from tasks.turn.context import messages_to_bring

PLAIN = Profile("energy", None, None, None, None, max_history=10)
WITH_TOOLS = Profile(
    "energy", None, None, None, None, max_history=10, tools=(ToolSpec(function="summit_tools.f"),)
)


@pytest.mark.parametrize(
    ("profile", "max_history", "brought"),
    [
        (PLAIN, None, 10),
        (PLAIN, 3, 3),
        (PLAIN, 0, 0),
        (WITH_TOOLS, None, 40),
        (WITH_TOOLS, 3, 12),
        (WITH_TOOLS, 0, 0),
        (WITH_TOOLS, 900, 1000),
        (WITH_TOOLS, 5000, 5000),
    ],
)
def test_calls_of_tools_are_brought_besides_what_was_said(
    profile: Profile, max_history: int | None, brought: int
) -> None:
    """Bounded, and never less than what is to be shown."""
    assert messages_to_bring(profile, max_history) == brought

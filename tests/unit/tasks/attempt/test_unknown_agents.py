"""An agent without a profile is logged by a worker."""

import logging

import pytest

from agents import AgentSettings, Profiles
from tasks.attempt.unknown_agents import MOST_NAMED, UnknownAgents

PROFILES = Profiles.load(AgentSettings(_env_file=None))  # type: ignore[call-arg]


def test_an_agent_without_a_profile_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With what to do; one that has a profile is not."""
    unknown = UnknownAgents(PROFILES)
    with caplog.at_level(logging.INFO):
        for agent_id in ("enrgy", "energy", "enrgy"):
            unknown.note(agent_id)
    (message,) = caplog.messages
    assert message.startswith("agent enrgy has no profile, the default one answers for it")
    assert "griot agents" in message


def test_not_each_of_many_agents_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """There may be one for each user; the last line says that it is the last."""
    unknown = UnknownAgents(PROFILES)
    with caplog.at_level(logging.INFO):
        for number in range(MOST_NAMED + 5):
            unknown.note(f"user-{number}")
    assert len(caplog.messages) == MOST_NAMED
    assert caplog.messages[-1].endswith("no more are named")


def test_where_no_agent_has_a_profile_none_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Then the default profile is meant for all."""
    with caplog.at_level(logging.INFO):
        UnknownAgents(Profiles(PROFILES.default, {})).note("anybody")
    assert caplog.messages == []

"""What can go wrong with an agent, by what the caller can do about it.

AgentError
└── InvalidProfiles     the profiles' file is missing or wrong: fix it

The errors of a turn are those of the model (`llm.errors`) and of the memory (`memory.errors`).
"""


class AgentError(Exception):
    """Any failure of an agent that is neither the model's nor the memory's."""


class InvalidProfiles(AgentError, ValueError):
    """The file of agent profiles cannot be read or holds something unknown."""

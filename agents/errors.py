"""What can go wrong with an agent, by what the caller can do about it.

AgentError
├── InvalidProfiles     the profiles' file is missing or wrong, or names a tool that is none: fix it
├── InvalidTool         a function cannot be a tool
├── UnknownTool         a turn asks for a tool that its agent has not
└── ToolError           raised by a tool: the model reads its text

The errors of a turn are those of the model (`llm.errors`) and of the memory (`memory.errors`).
"""


class AgentError(Exception):
    """Any failure of an agent that is neither the model's nor the memory's."""


class InvalidProfiles(AgentError, ValueError):
    """The file of agent profiles cannot be read or holds something unknown."""


class InvalidTool(AgentError, ValueError):
    """A function cannot be a tool; the message says why, not which."""


class UnknownTool(AgentError, ValueError):
    """A turn asks for a tool that its agent's profile does not name."""


class ToolError(AgentError):
    """A tool could not do what it was asked for. Raise it in a tool's function.

    The model reads its text, the history keeps it and followers are shown it.
    """

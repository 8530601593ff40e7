"""Agents: who answers, and what the model is shown."""

from importlib import import_module
from typing import TYPE_CHECKING

from agents.client_functions import ClientCalls, ClientFunction
from agents.errors import AgentError, InvalidProfiles, InvalidTool, ToolError, UnknownTool
from agents.profiles import Profile, Profiles, ToolSpec
from agents.settings import AgentSettings

if TYPE_CHECKING:
    from agents.agent import BaseAgent, SessionInfo
    from agents.prompt import FULL, Ask, Prompt, PromptForm, prompt_for, read_answer
    from agents.prompt_order import Repairs
    from agents.redis_agent import RedisAgent
    from agents.tool_function import ToolContext
    from agents.tool_rounds import ClientSide, ToolEvent, ToolRounds
    from agents.toolbox import Toolbox
    from agents.tools import Tool

__all__ = [
    "FULL",
    "AgentError",
    "AgentSettings",
    "Ask",
    "BaseAgent",
    "ClientCalls",
    "ClientFunction",
    "ClientSide",
    "InvalidProfiles",
    "InvalidTool",
    "Profile",
    "Profiles",
    "Prompt",
    "PromptForm",
    "RedisAgent",
    "Repairs",
    "SessionInfo",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolEvent",
    "ToolRounds",
    "ToolSpec",
    "Toolbox",
    "UnknownTool",
    "prompt_for",
    "read_answer",
]

_BY_NEED = {
    "Ask": "agents.prompt",
    "BaseAgent": "agents.agent",
    "ClientSide": "agents.tool_rounds",
    "FULL": "agents.prompt",
    "Prompt": "agents.prompt",
    "PromptForm": "agents.prompt",
    "RedisAgent": "agents.redis_agent",
    "Repairs": "agents.prompt_order",
    "SessionInfo": "agents.agent",
    "Tool": "agents.tools",
    "ToolContext": "agents.tool_function",
    "ToolEvent": "agents.tool_rounds",
    "ToolRounds": "agents.tool_rounds",
    "Toolbox": "agents.toolbox",
    "prompt_for": "agents.prompt",
    "read_answer": "agents.prompt",
}
"""What answers and what tools run in: no producer does either, and both take long to load."""


if not TYPE_CHECKING:  # for mypy every name would be there

    def __getattr__(name: str) -> object:
        """Load what a process asks for, and nothing besides."""
        if name not in _BY_NEED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_BY_NEED[name]), name)
        return found

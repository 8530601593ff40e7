"""Agents: who answers, and what the model is shown."""

from agents.agent import BaseAgent, SessionInfo
from agents.client_functions import ClientCalls, ClientFunction
from agents.errors import AgentError, InvalidProfiles, InvalidTool, ToolError, UnknownTool
from agents.profiles import Profile, Profiles, ToolSpec
from agents.prompt import FULL, Ask, Prompt, PromptForm, prompt_for, read_answer
from agents.prompt_order import Repairs
from agents.redis_agent import RedisAgent
from agents.settings import AgentSettings
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

"""Agents: who answers, and one turn of a conversation."""

from agents.agent import BaseAgent, SessionInfo
from agents.errors import AgentError, InvalidProfiles
from agents.profiles import Profile, Profiles
from agents.redis_agent import RedisAgent
from agents.settings import AgentSettings
from agents.turn import Answer, Ask, Prompt, prompt_for, read_answer

__all__ = [
    "AgentError",
    "AgentSettings",
    "Answer",
    "Ask",
    "BaseAgent",
    "InvalidProfiles",
    "Profile",
    "Profiles",
    "Prompt",
    "RedisAgent",
    "SessionInfo",
    "prompt_for",
    "read_answer",
]

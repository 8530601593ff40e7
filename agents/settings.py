"""The settings of the agents, from the environment and `.env`."""

from pathlib import Path

from pydantic import Field

from memory import EnvSettings, check_env_file


class AgentSettings(EnvSettings):
    """Which agents there are, and how much of a conversation they are shown."""

    use_redis_memory: bool = Field(
        default=True,
        validation_alias="AGENT_USE_REDIS_MEMORY",
        description="Whether a RedisAgent keeps its history in Redis (true, false)",
    )
    max_history: int = Field(
        default=10,
        ge=0,
        le=100_000,
        validation_alias="AGENT_MAX_HISTORY",
        description="Earlier messages that an agent's model is shown",
    )
    supervisor_max_history: int = Field(
        default=20,
        ge=0,
        le=100_000,
        validation_alias="SUPERVISOR_MAX_HISTORY",
        description="Earlier messages that the supervisor's model is shown",
    )
    tool_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        validation_alias="AGENT_TOOL_TIMEOUT",
        description="How long one call of a tool may take where its profile gives no timeout_s, "
        "seconds",
    )
    tool_rounds: int = Field(
        default=5,
        ge=1,
        le=100,
        validation_alias="AGENT_TOOL_ROUNDS",
        description="How often a model may call tools in one turn before it must answer",
    )
    tool_result_bytes: int = Field(
        default=8192,
        ge=64,
        le=262_144,
        validation_alias="AGENT_TOOL_RESULT_BYTES",
        description="What the model is shown of one result of a tool, bytes",
    )
    tool_calls_in_text: bool = Field(
        default=False,
        validation_alias="AGENT_TOOL_CALLS_IN_TEXT",
        description="Whether a reply that consists only of tool calls written as JSON counts "
        "as these calls (true, false): for models whose format Ollama does not "
        "know",
    )
    profiles: Path | None = Field(
        default=None,
        validation_alias="AGENT_PROFILES",
        description="A TOML file of agent profiles, in place of the built-in set",
    )


def read_agent_settings() -> AgentSettings:
    """The settings of the environment and `.env`.

    Raises pydantic's ValidationError if one is wrong, and the memory's InvalidInput, one line that
    names the file, if `.env` cannot be read.
    """
    check_env_file()
    return AgentSettings()

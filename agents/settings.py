"""The settings of the agents, from the environment and `.env`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AgentSettings(BaseSettings):
    """Which agents there are, and how much of a conversation they are shown."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        # Fields can be given by name in code; without a prefix their bare names (HOST, PORT …)
        # would be read from the environment too.
        env_prefix="GRIOT_UNUSED_AGENTS_",
        env_ignore_empty=True,
    )

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
    profiles: Path | None = Field(
        default=None,
        validation_alias="AGENT_PROFILES",
        description="A TOML file of agent profiles, in place of the built-in set",
    )

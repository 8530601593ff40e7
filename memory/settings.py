"""The settings of the memory, from the environment and `.env`."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from memory.keys import DEFAULT_PREFIX, PREFIX_PATTERN


class MemorySettings(BaseSettings):
    """Where Redis is, and how long and how much it keeps.

    `REDIS_URL` overrides host, port, db and password.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    url: SecretStr | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Where Redis is: redis://, rediss:// (TLS) or unix://; overrides the parts",
    )
    host: str = Field(
        default="localhost", validation_alias="REDIS_HOST", description="Host of Redis"
    )
    port: int = Field(
        default=6379, ge=1, le=65535, validation_alias="REDIS_PORT", description="Port of Redis"
    )
    db: int = Field(
        default=0, ge=0, le=1023, validation_alias="REDIS_DB", description="Database number"
    )
    username: str | None = Field(
        default=None, validation_alias="REDIS_USERNAME", description="User of Redis' ACL"
    )
    password: SecretStr | None = Field(
        default=None, validation_alias="REDIS_PASSWORD", description="Password of Redis"
    )
    default_ttl_s: int = Field(
        default=86400,
        ge=1,
        le=315_360_000,
        validation_alias="REDIS_MEMORY_TTL",
        description="How long a session is kept after its last use, seconds",
    )
    key_prefix: str = Field(
        default=DEFAULT_PREFIX,
        pattern=PREFIX_PATTERN,
        validation_alias="REDIS_KEY_PREFIX",
        description="What every key begins with",
    )
    mode: Literal["single", "sentinel", "cluster"] = Field(
        default="single", validation_alias="REDIS_MODE", description="How Redis is run"
    )
    sentinels: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="REDIS_SENTINELS",
        description="host:port of each Sentinel, separated by commas",
    )
    sentinel_master: str = Field(
        default="mymaster",
        validation_alias="REDIS_SENTINEL_MASTER",
        description="Name of the master that the Sentinels watch",
    )
    timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=300,
        validation_alias="REDIS_TIMEOUT",
        description="Longest wait for one answer of Redis, seconds",
    )
    history_max_messages: int = Field(
        default=1000,
        ge=2,
        le=1_000_000,
        validation_alias="HISTORY_MAX_MESSAGES",
        description="Messages kept per session (what the model is shown: AGENT_MAX_HISTORY)",
    )
    max_value_bytes: int = Field(
        default=1_048_576,
        ge=1024,
        le=67_108_864,
        validation_alias="MEMORY_MAX_VALUE_BYTES",
        description="Largest message, state or session value, bytes of JSON",
    )

    @model_validator(mode="before")
    @classmethod
    def _split_sentinels(cls, data: object) -> object:
        if isinstance(data, dict):
            for name in ("REDIS_SENTINELS", "sentinels"):
                if isinstance(data.get(name), str):
                    parts = (part.strip() for part in data[name].split(","))
                    data = {**data, name: tuple(part for part in parts if part)}
        return data

    @model_validator(mode="after")
    def _sentinels_are_named(self) -> Self:
        if self.mode == "sentinel" and not self.sentinels:
            raise ValueError("REDIS_MODE=sentinel needs REDIS_SENTINELS=host:port,host:port,…")
        return self

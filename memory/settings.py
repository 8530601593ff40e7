"""The settings of the memory, from the environment and `.env`."""

from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

from memory.address import checked_archive
from memory.encryption.keyring import NO_KEYS, Keyring
from memory.env_file import EnvSettings, check_env_file, is_service_port
from memory.errors import InvalidInput
from memory.keys import DEFAULT_PREFIX, PREFIX_PATTERN, Keyspace
from memory.lifetimes import SESSION_TTL_S

MOST_HELD = 1_000_000
"""Messages that a history has at most while its archive is away; the oldest go beyond that."""
MOST_HELD_BYTES = 64 * 1024 * 1024
"""Likewise bytes of them."""


def _split(nodes: object) -> object:
    if not isinstance(nodes, str):
        return nodes
    return [node.strip() for node in nodes.split(",") if node.strip()]


class MemorySettings(EnvSettings):
    """Where Redis is, and how long and how much it keeps.

    `REDIS_URL` overrides host, port, db and password.
    """

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
        default=SESSION_TTL_S,
        ge=1,
        le=315_360_000,
        validation_alias="REDIS_MEMORY_TTL",
        description="How long a session is kept after its last use, seconds",
    )
    key_prefix: str = Field(
        default=DEFAULT_PREFIX,
        pattern=PREFIX_PATTERN,
        validation_alias="REDIS_KEY_PREFIX",
        description="Prefix of every key",
    )
    mode: Literal["single", "sentinel", "cluster"] = Field(
        default="single", validation_alias="REDIS_MODE", description="How Redis is run"
    )
    sentinels: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(),
        validation_alias="REDIS_SENTINELS",
        description="host:port of each Sentinel, separated by commas",
    )
    sentinel_master: str = Field(
        default="mymaster",
        validation_alias="REDIS_SENTINEL_MASTER",
        description="Name of the master that the Sentinels watch",
    )
    sentinel_username: str | None = Field(
        default=None,
        validation_alias="REDIS_SENTINEL_USERNAME",
        description="User of the Sentinels' own ACL",
    )
    sentinel_password: SecretStr | None = Field(
        default=None,
        validation_alias="REDIS_SENTINEL_PASSWORD",
        description="Password of the Sentinels, if they have one; also for a sentinel:// "
        "broker or result backend",
    )
    sentinel_tls: bool | None = Field(
        default=None,
        validation_alias="REDIS_SENTINEL_TLS",
        description="Whether the Sentinels use TLS (true, false), with the TLS options in "
        "REDIS_URL; default: as the servers do",
    )
    timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=300,
        validation_alias="REDIS_TIMEOUT",
        description="Longest wait for one answer of Redis, seconds",
    )
    wait_replicas: int = Field(
        default=0,
        ge=0,
        le=100,
        validation_alias="REDIS_WAIT_REPLICAS",
        description="Replicas that must confirm a job or a turn before it counts as stored",
    )
    wait_timeout_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        validation_alias="REDIS_WAIT_TIMEOUT",
        description="Longest wait for them, seconds; below REDIS_TIMEOUT",
    )
    history_max_messages: int = Field(
        default=1000,
        ge=2,
        le=1_000_000,
        validation_alias="HISTORY_MAX_MESSAGES",
        description="Messages kept per session (what the model is shown: AGENT_MAX_HISTORY)",
    )
    history_max_bytes: int = Field(
        default=8_388_608,
        ge=1024,
        le=67_108_864,
        validation_alias="HISTORY_MAX_BYTES",
        description=(
            "Messages kept per session, bytes of JSON; the oldest turns are removed, "
            "the last one stays"
        ),
    )
    max_value_bytes: int = Field(
        default=1_048_576,
        ge=1024,
        le=67_108_864,
        validation_alias="MEMORY_MAX_VALUE_BYTES",
        description="Largest message, state or session value, bytes of JSON",
    )

    archive_url: SecretStr | None = Field(
        default=None,
        validation_alias="ARCHIVE_URL",
        description="Where histories go before they leave Redis, sqlite:///<path> or "
        "postgresql://<user>:<password>@<host>/<database>; without it they expire",
    )
    encryption_keys: SecretStr | None = Field(
        default=None,
        validation_alias="GRIOT_ENCRYPTION_KEYS",
        description="Keys that encrypt conversations, <id>:<32 bytes in base64> each, "
        "separated by commas: the first encrypts, all decrypt; `plain` as the "
        "first encrypts nothing new",
    )

    @property
    def keyspace(self) -> Keyspace:
        """The names of the keys, and what encrypts what lies under them."""
        given = self.encryption_keys
        keyring = NO_KEYS if given is None else Keyring.parse(given.get_secret_value())
        return Keyspace(
            self.key_prefix,
            is_cluster=self.mode == "cluster",
            keyring=keyring,
            has_archive=self.archive_url is not None,
        )

    @property
    def held_messages(self) -> int:
        """How many messages an append leaves in a history; with an archive all that there are, for
        that takes what is too much before it goes."""
        return self.history_max_messages if self.archive_url is None else MOST_HELD

    @property
    def held_bytes(self) -> int:
        """How many bytes of messages an append leaves."""
        return self.history_max_bytes if self.archive_url is None else MOST_HELD_BYTES

    def url_of_db(self, offset: int) -> str:
        """The address of the db `offset` numbers after the memory's, on the same server.

        It holds the password: never log it. Raises ValueError where the memory does not lie on one
        server with numbered dbs that an address can name.
        """
        if self.mode != "single":
            raise ValueError(f"REDIS_MODE={self.mode} has no numbered dbs")
        if self.url is None:
            user = quote(self.username or "", safe="")
            secret = quote(self.password.get_secret_value(), safe="") if self.password else ""
            login = f"{user}:{secret}@" if user or secret else ""
            host = f"[{self.host}]" if ":" in self.host else self.host
            return f"redis://{login}{host}:{self.port}/{self.db + offset}"
        parts = urlsplit(self.url.get_secret_value())
        if parts.scheme not in {"redis", "rediss"}:
            raise ValueError(f"REDIS_URL is a {parts.scheme}:// address")
        db = parts.path.strip("/") or "0"
        if not db.isdecimal():
            raise ValueError("REDIS_URL does not end in a db number")
        return urlunsplit(parts._replace(path=f"/{int(db) + offset}"))

    @field_validator("archive_url", mode="before")
    @classmethod
    def _nothing_is_no_archive(cls, given: object) -> object:
        return given or None

    @field_validator("archive_url")
    @classmethod
    def _archive_can_be_found(cls, given: SecretStr | None) -> SecretStr | None:
        return given and checked_archive(given)

    @model_validator(mode="before")
    @classmethod
    def _without_service_variables(cls, given: object) -> object:
        """A service called `redis` sets REDIS_PORT=tcp://10.0.0.1:6379 for all its neighbours."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if not is_service_port(name, value)}

    @field_validator("encryption_keys")
    @classmethod
    def _keys_can_be_read(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None:
            Keyring.parse(given.get_secret_value())
        return given

    @model_validator(mode="after")
    def _sentinels_are_named(self) -> Self:
        if self.mode == "sentinel" and not self.sentinels:
            raise ValueError("REDIS_MODE=sentinel needs REDIS_SENTINELS=host:port,host:port,…")
        return self

    @model_validator(mode="after")
    def _wait_is_shorter_than_an_answer(self) -> Self:
        if self.wait_replicas and self.wait_timeout_s >= self.timeout_s:
            raise ValueError("REDIS_WAIT_TIMEOUT must be shorter than REDIS_TIMEOUT")
        return self


class AuditSettings(EnvSettings):
    """Who acts in this process. Apart from the others, for it may be asked without them."""

    actor: str | None = Field(
        default=None,
        validation_alias="GRIOT_ACTOR",
        description="Name that `griot audit` records for this process; default: its user@host",
    )


def read_settings() -> MemorySettings:
    """The settings of the environment and `.env`. InvalidInput names what is wrong, no secret."""
    check_env_file()
    try:
        return MemorySettings()
    except ValidationError as exc:
        raise _refusal(exc) from None


def settings_for(
    *,
    host: str,
    port: int,
    db: int,
    password: str | None,
    default_ttl_s: int,
    username: str | None = None,
) -> MemorySettings:
    """One server, or a node of a cluster, at an address; the rest comes from the environment.

    InvalidInput names what is wrong, no secret.
    """
    check_env_file()
    try:
        settings = MemorySettings(
            url=None,
            host=host,
            port=port,
            db=db,
            username=username,
            password=None if password is None else SecretStr(password),
            default_ttl_s=default_ttl_s,
        )
    except ValidationError as exc:
        raise _refusal(exc) from None
    if settings.mode == "sentinel":
        # Who names a server means that one, not the master that some Sentinels know.
        return settings.model_copy(update={"mode": "single"})
    return settings


def _refusal(exc: ValidationError) -> InvalidInput:
    problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in exc.errors())
    return InvalidInput("memory settings: " + "; ".join(problems))

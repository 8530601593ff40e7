"""The settings of webhooks, from the environment and `.env`."""

from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Self

from pydantic import Field, SecretStr, model_validator

from memory import EnvSettings
from webhooks.address import AllowedHosts
from webhooks.signing import secret_bytes

DAY_S = 86_400.0


class WebhookSettings(EnvSettings):
    """To whom webhooks may go, how they are signed, and how long they are tried."""

    hosts: str = Field(
        default="",
        validation_alias="WEBHOOK_HOSTS",
        description="Hosts that webhooks may go to, separated by commas: hooks.example.com, "
        "*.example.com:8443; without TLS only where http:// stands before one; default: none",
    )
    networks: str = Field(
        default="",
        validation_alias="WEBHOOK_NETWORKS",
        description="Private networks that webhooks may go to, separated by commas, such as "
        "10.20.0.0/16; default: public addresses only",
    )
    secrets: SecretStr | None = Field(
        default=None,
        validation_alias="WEBHOOK_SECRETS",
        description="Secrets that sign webhooks, whsec_ and base64, separated by commas: each "
        "event has a signature by each; a process without any sends none",
    )
    timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        le=60,
        validation_alias="WEBHOOK_TIMEOUT_SECONDS",
        description="How long a receiver may take to answer, seconds",
    )
    max_attempts: int = Field(
        default=10,
        ge=1,
        le=50,
        validation_alias="WEBHOOK_MAX_ATTEMPTS",
        description="Attempts at a webhook before it becomes a dead letter; ten are two days or so",
    )
    retry_base_s: float = Field(
        default=5.0,
        ge=0.01,
        le=3600,
        validation_alias="WEBHOOK_RETRY_BASE_SECONDS",
        description="Pause before the second attempt, seconds; four times as long for each further "
        "one",
    )
    retry_max_s: float = Field(
        default=DAY_S,
        ge=0.01,
        le=DAY_S,
        validation_alias="WEBHOOK_RETRY_MAX_SECONDS",
        description="Longest pause between two attempts, seconds",
    )

    @cached_property
    def allowed(self) -> AllowedHosts:
        """The hosts."""
        return AllowedHosts.parsed(self.hosts)

    @cached_property
    def private(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The private networks."""
        return tuple(ip_network(one.strip()) for one in self.networks.split(",") if one.strip())

    @property
    def keys(self) -> tuple[bytes, ...]:
        """What signs: a key for each secret, the first one first."""
        given = "" if self.secrets is None else self.secrets.get_secret_value()
        return tuple(secret_bytes(one.strip()) for one in given.split(",") if one.strip())

    @property
    def can_send(self) -> bool:
        """Whether a process with these settings sends webhooks; others leave them to it."""
        return bool(self.hosts and self.secrets)

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        for name in ("allowed", "private", "keys"):
            try:
                getattr(self, name)
            except ValueError as exc:
                variable = {"allowed": "HOSTS", "private": "NETWORKS", "keys": "SECRETS"}[name]
                raise ValueError(f"WEBHOOK_{variable}: {exc}") from None
        return self

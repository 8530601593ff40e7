"""The settings of the gateway, from the environment and `.env`."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

from pydantic import Field, model_validator

from memory import EnvSettings, is_service_port

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class GatewaySettings(EnvSettings):
    """Where the gateway listens, whom it lets in, and its bounds."""

    host: str = Field(
        default="127.0.0.1",
        validation_alias="GATEWAY_HOST",
        description="Where `griot serve` listens; any address but loopback needs API keys "
        "(`griot keys create`)",
    )
    port: int = Field(
        default=8080,
        ge=0,
        le=65_535,
        validation_alias="GATEWAY_PORT",
        description="The port of `griot serve`; 0: a free one",
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        validation_alias="GATEWAY_PROCESSES",
        description="Processes of `griot serve` that share its port, one for each core that the "
        "gateway may use",
    )
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        validation_alias="GATEWAY_ROOT_PATH",
        description="The path under which a proxy in front serves the gateway, such as /griot",
    )
    proxies: str = Field(
        default="",
        validation_alias="GATEWAY_PROXIES",
        description="Addresses of proxies whose X-Forwarded headers are believed, separated by "
        "commas; with any, API keys are needed on loopback too",
    )
    hosts: str = Field(
        default="",
        validation_alias="GATEWAY_HOSTS",
        description="Host names that requests may be sent to, separated by commas, * for all; "
        "default: those of loopback, and with API keys all",
    )
    cors_origins: str = Field(
        default="",
        validation_alias="GATEWAY_CORS_ORIGINS",
        description="Origins of web pages that may call the gateway from a browser, separated by "
        "commas; default: none",
    )
    max_body_bytes: int = Field(
        default=4_194_304,
        ge=1024,
        le=268_435_456,
        validation_alias="GATEWAY_MAX_BODY_BYTES",
        description="Largest body of a request, bytes",
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        validation_alias="GATEWAY_MAX_CONNECTIONS",
        description="Connections that one gateway process serves at once; others get 503",
    )
    head_s: float = Field(
        default=10.0,
        gt=0,
        le=600,
        validation_alias="GATEWAY_HEAD_SECONDS",
        description="How long a client may take to send the head of a request, seconds",
    )
    body_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        validation_alias="GATEWAY_BODY_SECONDS",
        description="How long a client may take to send a body, or to take a piece of an answer, "
        "seconds",
    )
    request_s: float = Field(
        default=600.0,
        gt=0,
        le=86_400,
        validation_alias="GATEWAY_REQUEST_SECONDS",
        description="How long a request waits for an answer that is not streamed, seconds; then "
        "it is 504 and its job cancelled",
    )
    keep_alive_s: float = Field(
        default=15.0,
        gt=0,
        le=600,
        validation_alias="GATEWAY_KEEP_ALIVE_SECONDS",
        description="Time after which a silent stream gets a comment, so that no proxy closes it, "
        "seconds",
    )
    cancels_on_hangup: bool = Field(
        default=True,
        validation_alias="GATEWAY_CANCEL_ON_HANGUP",
        description="Whether a client that hangs up before its answer cancels the job, unless that "
        "runs in the background (true, false)",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_service_variables(cls, given: object) -> object:
        """A service called `gateway` sets GATEWAY_PORT=tcp://10.0.0.1:80 for its neighbours."""
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if not is_service_port(name, value)}

    @property
    def address(self) -> str:
        """Where it is found, such as http://127.0.0.1:8080."""
        host = self.host.strip("[]")
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return _is_loopback(self.host)

    @property
    def may_be_open(self) -> bool:
        """Whether it may serve without API keys."""
        return self.is_loopback and not self.proxies

    @property
    def trusted_hosts(self) -> list[str]:
        """What a request's `Host` may be."""
        if self.hosts:
            return names_in(self.hosts)
        return [*LOOPBACK_NAMES, self.host] if self.may_be_open else ["*"]


@lru_cache(maxsize=1)  # asked with each request
def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def names_in(text: str) -> list[str]:
    """The names in a text, which commas separate."""
    return [name.strip() for name in text.split(",") if name.strip()]

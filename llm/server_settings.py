"""Where the model servers are: by addresses, or in the TOML file of OLLAMA_SERVERS.

The file is for servers that differ in more than their address:

[[server]]
url = "http://gpu1:11434"
slots = 4

[[server]]
url = "https://vllm.example.org/v1"
dialect = "openai"
key_file = "/run/secrets/vllm"
slots = 64
window = 16384
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from llm.wire.address import DialectName, check_base_url, check_base_urls, split_addresses
from llm.wire.headers import read_headers


class ServerEntry(BaseModel):
    """One server: where it is, what it speaks, what opens it, how much it does at once.

    `key` is sent to this server only, as a bearer token; `key_file` names a file that holds it.
    `slots` and `window` (in tokens) stand in place of OLLAMA_NUM_PARALLEL and LLM_NUM_CTX.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(check_base_url)]
    dialect: DialectName = "ollama"
    key: SecretStr | None = None
    key_file: Path | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    slots: int | None = Field(default=None, ge=1, le=1024)
    window: int | None = Field(default=None, ge=256, le=4_194_304)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.key is not None and self.key_file is not None:
            raise ValueError("a server has a key or a key_file, not both")
        read_headers(self.header_text, self.bearer)
        return self

    @property
    def bearer(self) -> str:
        """The token, without the blanks around it; empty where there is none."""
        if self.key_file is not None:
            try:
                return self.key_file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as exc:
                raise ValueError(f"key_file cannot be read: {type(exc).__name__}") from None
        return "" if self.key is None else self.key.get_secret_value().strip()

    @property
    def header_text(self) -> str:
        """The headers as OLLAMA_HEADERS has them."""
        given = self.headers.items()
        return ", ".join(f"{name}={value.get_secret_value()}" for name, value in given)


class _ServerFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    server: list[ServerEntry]


def read_servers(value: object) -> object:
    """The servers of the file that `value` names; what is no text as it is.

    Raises ValueError that names the file and what is wrong, and repeats no value of it: it may be a
    key.
    """
    if not isinstance(value, str | Path):
        return value
    if "://" in str(value):  # its login would be repeated as the name of a file
        raise ValueError("must be a TOML file of servers; put addresses into OLLAMA_BASE_URLS")
    try:
        text = Path(value).read_text("utf-8-sig")
        return tuple(_ServerFile.model_validate(tomllib.loads(text)).server)
    except OSError as exc:
        raise ValueError(f"{value} cannot be read: {exc.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        reason = "it is not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)
        raise ValueError(f"{value} is not TOML: {reason}") from None
    except ValidationError as exc:
        raise ValueError(f"{value}: {'; '.join(_faults(exc))}") from None


def check_servers(servers: Sequence[ServerEntry]) -> tuple[ServerEntry, ...]:
    """`servers`, each with another address. Raises ValueError."""
    check_base_urls(tuple(server.url for server in servers))
    return tuple(servers)


def _faults(error: ValidationError) -> Iterable[str]:
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        yield f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"


class ServerSettings(BaseSettings):
    """Where the model servers are, what they speak, and what opens them."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        # Fields can be given by name in code. pydantic-settings would then read their bare names
        # (MODEL, ...) from the environment too; with this prefix no such variable exists.
        env_prefix="GRIOT_UNUSED_LLM_",
        # A wrong address may hold a password, which pydantic would print with the error.
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    base_url: Annotated[str, AfterValidator(check_base_url)] = Field(
        default="http://localhost:11434",
        validation_alias="OLLAMA_BASE_URL",
        description="Ollama's address: http or https, host, port, and the path of a gateway "
        "if there is one. It appears in the log, so put a key into "
        "OLLAMA_API_KEY.",
    )
    base_urls: Annotated[
        # NoDecode: pydantic-settings would want JSON for a tuple.
        tuple[str, ...], NoDecode, BeforeValidator(split_addresses), AfterValidator(check_base_urls)
    ] = Field(
        default=(),
        validation_alias="OLLAMA_BASE_URLS",
        description="The addresses of several Ollamas, separated by commas, in place of "
        "OLLAMA_BASE_URL; calls are spread over them.",
    )
    entries: Annotated[
        tuple[ServerEntry, ...],
        NoDecode,
        BeforeValidator(read_servers),
        AfterValidator(check_servers),
    ] = Field(
        default=(),
        validation_alias="OLLAMA_SERVERS",
        description="A TOML file of servers in place of the addresses above: for OpenAI-compatible "
        "servers, and where each has a key, slots or a window of its own (docs/compatibility.md).",
    )
    dialect: DialectName = Field(
        default="ollama",
        validation_alias="OLLAMA_DIALECT",
        description="Protocol of the servers at these addresses: ollama, or openai for vLLM, "
        "SGLang, llama.cpp's server and LM Studio; their address ends with /v1.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        validation_alias="OLLAMA_API_KEY",
        description="The bearer token that is sent to every server at these addresses, for "
        "https://ollama.com and gateways; a local Ollama ignores it.",
    )
    extra_headers: SecretStr | None = Field(
        default=None,
        validation_alias="OLLAMA_HEADERS",
        description="Headers that are sent with each request, such as: X-Team=griot, "
        "X-Key=abc. A value cannot contain a comma.",
    )

    @model_validator(mode="after")
    def _check_headers(self) -> Self:
        _ = self.headers
        return self

    @property
    def headers(self) -> Mapping[str, str]:
        """What opens the servers' gateway. Holds secrets."""
        texts = (self.extra_headers, self.api_key)
        return read_headers(*("" if text is None else text.get_secret_value() for text in texts))

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses of all servers, at least one. What knows only one uses the first."""
        return tuple(entry.url for entry in self.entries) or self.base_urls or (self.base_url,)

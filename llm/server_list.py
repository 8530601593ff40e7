"""The servers of OLLAMA_SERVERS: a TOML file, for servers that differ in more than their address.

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
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from llm.wire.address import DialectName, check_base_url, check_base_urls
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


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    server: list[ServerEntry]


def read_servers(value: object) -> object:
    """The servers of the file that `value` names; what is no text as it is.

    Raises ValueError that names the file and what is wrong, and repeats no value of it: it may be a
    key.
    """
    if not isinstance(value, str | Path):
        return value
    try:
        text = Path(value).read_text("utf-8-sig")
        return tuple(_File.model_validate(tomllib.loads(text)).server)
    except OSError as exc:
        raise ValueError(f"{value} cannot be read: {exc.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        reason = "it is not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)
        raise ValueError(f"{value} is no TOML: {reason}") from None
    except ValidationError as exc:
        raise ValueError(f"{value}: {'; '.join(_faults(exc))}") from None


def check_servers(servers: Sequence[ServerEntry]) -> tuple[ServerEntry, ...]:
    """`servers`, each with another address. Raises ValueError."""
    check_base_urls(tuple(server.url for server in servers))
    return tuple(servers)


def _faults(error: ValidationError) -> Iterable[str]:
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        yield f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"

"""The servers that `griot demo` and `griot up --sandbox` start where there are none."""

import sys
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from llm import LLMError, LLMService, LLMSettings, is_installed
from memory import Command, Connection, MemoryServiceError, MemorySettings
from sandbox.ports import free_port
from sandbox.process import ServerProcess

STAND_IN_READY_S = 20.0
TOKEN_S = 0.02
"""Seconds per token of the stand-in: slow enough to be seen."""


def names_own_redis(settings: MemorySettings) -> bool:
    """Whether the environment or `.env` says where Redis is."""
    return not settings.model_fields_set.isdisjoint({"url", "host", "port", "mode", "sentinels"})


def redis_trouble(settings: MemorySettings) -> str | None:
    """Why this Redis cannot be used, in one line; None if it answers."""
    connection = Connection(settings)
    try:
        connection.run(Command(lambda _: None, ("PING",)))
    except MemoryServiceError as exc:
        return str(exc)
    finally:
        connection.close()
    return None


def ollama_trouble(settings: LLMSettings) -> str | None:
    """Why this Ollama cannot answer with its model, in a few words; None if it can."""
    with LLMService(settings) as service:
        try:
            installed = service.installed_models()
        except LLMError:
            return f"no Ollama answers at {service.base_url}"
    if not is_installed(settings.model, installed):
        return f"the Ollama at {service.base_url} has no model {settings.model}"
    return None


def start_stand_in(
    directory: Path, settings: LLMSettings, port: int | None = None
) -> tuple[ServerProcess, str]:
    """A started stand-in for Ollama on loopback, and its address. Raises SandboxError."""
    port = port or free_port()
    process = ServerProcess(
        (
            sys.executable,
            *("-m", "sandbox.ollama", "--port", str(port)),
            *("--token-s", str(TOKEN_S), "--model", settings.model),
        ),
        log_path=directory / "ollama.log",
        name="ollama-stand-in",
    )
    seen = len(process.log_text())
    process.start()
    process.wait_ready(lambda: "listening on" in process.log_text()[seen:], STAND_IN_READY_S)
    return process, f"http://127.0.0.1:{port}"


def environment_of(settings: BaseSettings) -> dict[str, str]:
    """The environment variables that say the same to another process. It may hold secrets."""
    return {
        str(field.validation_alias): _text(value)
        for name, field in type(settings).model_fields.items()
        if (value := getattr(settings, name)) is not None
    }


def _text(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case tuple():
            return ",".join(map(str, value))
    return str(value)

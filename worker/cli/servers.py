"""The servers that the settings name: whether they can be used, and how to name them to others."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from llm import LLMError, LLMService, LLMSettings, is_installed
from memory import Command, Connection, MemoryServiceError, MemorySettings


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

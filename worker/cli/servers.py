"""The servers that the settings name: whether they can be used, and how to name them to others."""

from contextlib import closing

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from llm import LLMSettings, is_cloud, is_installed
from memory import Command, Connection, MemoryServiceError, MemorySettings
from memory.redis.endpoint import endpoint
from tasks.process.configuration import Settings
from worker.checks.tls import is_mismatch
from worker.model_servers import model_servers

TRY_S = 2.0
ECHO = "Replies come from a built-in echo, not a model. Start Ollama for real answers."


def names_own_redis(settings: MemorySettings) -> bool:
    """Whether the environment or `.env` says where Redis is."""
    return not settings.model_fields_set.isdisjoint({"url", "host", "port", "mode", "sentinels"})


def names_own_servers(settings: Settings) -> bool:
    """Whether any setting says where Redis, the broker or the results are, or how to log in."""
    queue = settings.queue
    is_celerys = queue.broker_url is not None or queue.result_backend is not None
    of_redis = {"db", "username", "password"}
    return (
        names_own_redis(settings.memory)
        or is_celerys
        or not settings.memory.model_fields_set.isdisjoint(of_redis)
    )


def redis_trouble(settings: MemorySettings) -> str | None:
    """Why this Redis cannot be used and what to do, in one line; None if it answers.

    Takes a few seconds at most, whatever REDIS_TIMEOUT is.
    """
    at = endpoint(settings)
    match at.options:
        case {"host": str(host), "port": int(port), **more} if at.mode == "single":
            has_tls = bool(more.get("ssl"))
            if is_mismatch(host, port, has_tls=has_tls):
                how = ("does not speak TLS", "redis") if has_tls else ("speaks TLS", "rediss")
                return f"Redis at {host}:{port} {how[0]}; write {how[1]}:// in REDIS_URL"
    quick = settings.model_copy(update={"timeout_s": min(settings.timeout_s, TRY_S)})
    with closing(Connection(quick)) as connection:
        try:
            connection.run(Command(lambda _: None, ("PING",)))
        except MemoryServiceError as exc:
            return str(exc)
    return None


def ollama_trouble(settings: LLMSettings) -> str | None:
    """Why the first Ollama cannot answer with its model, in a few words; None if it can."""
    server = model_servers(settings)[0]
    if server.trouble:
        return f"no Ollama answers at {server.url}"
    if not is_cloud(settings.model) and not is_installed(settings.model, server.installed):
        return f"the Ollama at {server.url} has no model {settings.model}"
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

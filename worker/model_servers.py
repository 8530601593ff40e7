"""What the servers of the models say of themselves, asked all at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from llm import LLMError, LLMService, LLMSettings

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ModelServer:
    """One Ollama: its models installed and in memory, or why it does not say."""

    url: str
    installed: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    trouble: str = ""


def model_servers(settings: LLMSettings) -> tuple[ModelServer, ...]:
    """Every server of the settings, in their order. Takes three seconds if one is silent."""
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(lambda url: _asked(settings.at(url)), settings.servers))


def _asked(settings: LLMSettings) -> ModelServer:
    with LLMService(settings) as service:
        try:
            installed = service.installed_models()
            loaded = service.loaded_models()
        except LLMError as exc:
            return ModelServer(service.base_url, trouble=str(exc))
    return ModelServer(service.base_url, installed, tuple(model.name for model in loaded))

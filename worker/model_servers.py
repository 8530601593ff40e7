"""What the servers of the models say of themselves, asked all at once."""

import asyncio
from dataclasses import dataclass

from llm import LLMError, LLMSettings, OllamaClient

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ModelServer:
    """One Ollama: its models installed and in memory, or why it does not say."""

    url: str
    installed: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    trouble: str = ""


def model_servers(settings: LLMSettings) -> tuple[ModelServer, ...]:
    """Every server of the settings, in their order. Takes three seconds if one is silent; not to be
    called where an event loop runs."""
    return asyncio.run(_all_asked(settings))


async def _all_asked(settings: LLMSettings) -> tuple[ModelServer, ...]:
    return tuple(await asyncio.gather(*(_asked(settings.at(url)) for url in settings.servers)))


async def _asked(settings: LLMSettings) -> ModelServer:
    # By the client that a worker's turns have: that of the synchronous service would load another.
    async with OllamaClient.from_settings(settings, max_connections=1) as client:
        read, url = client.dialect, client.base_url
        try:
            installed = await client.lookup(read.installed_path)
            loaded = await client.lookup(read.loaded_path)
            return ModelServer(
                url,
                tuple(read.read_installed(installed, base_url=url)),
                tuple(model.name for model in read.read_loaded(loaded, base_url=url)),
            )
        except LLMError as exc:
            return ModelServer(url, trouble=str(exc))

"""Which models' calls are bounded, and at which servers."""

from collections.abc import Sequence

from llm import Fleet, LLMSettings, full_name
from memory import Keyspace, Slots


class BoundedModels:
    """The slots of the models, as OLLAMA_NUM_PARALLEL and its kin bound them."""

    def __init__(self, keyspace: Keyspace, settings: LLMSettings, servers: Fleet) -> None:
        self.are_any = settings.is_bounded
        self._keyspace = keyspace
        self._settings = settings
        self._servers = servers

    def slots_of(self, model: str) -> Slots | None:
        """The slots of a model, at every server; None where nothing bounds its calls."""
        return slots_of(self._keyspace, self._settings, model)

    async def ranked(self, model: str, session: str) -> Sequence[str]:
        """The servers that may be asked for a model, the best for a session first."""
        return await self._servers.ranked(model, session)


def slots_of(keyspace: Keyspace, settings: LLMSettings, model: str) -> Slots | None:
    """The slots of a model, at every server; None where nothing bounds its calls."""
    limit = settings.parallel_calls(model)
    if limit is None:
        return None
    return Slots(keyspace, full_name(model), settings.servers, limit)

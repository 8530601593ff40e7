"""Whether a model can do what a request wants of it."""

from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum

from llm.errors import LLMError
from llm.wire.error_map import cannot


class Ability(StrEnum):
    """What a request may want of a model besides text; the values are Ollama's words."""

    TOOLS = "tools"
    THINKING = "thinking"
    VISION = "vision"


class Capabilities:
    """Knows what models can do; used on one event loop.

    `look_up` gives a model's capabilities in Ollama's words, or None; it may raise an LLMError.
    """

    def __init__(self, look_up: Callable[[str], Awaitable[frozenset[str] | None]]) -> None:
        self._look_up = look_up

    async def of(self, model: str) -> frozenset[str] | None:
        """What `model` can do; None where it cannot be known, or not now. Never raises."""
        try:
            return await self._look_up(model)
        except LLMError:
            return None  # whatever is wrong, the chat call that follows says it better

    async def require(self, model: str, abilities: Iterable[Ability]) -> None:
        """Raise UnsupportedError if `model` is known to lack one of these.

        Nothing is looked up where no ability is wanted.
        """
        # docs/decisions.md, "Abilities are looked up only where they are needed".
        wanted = list(abilities)
        known = await self.of(model) if wanted else None
        for ability in wanted:
            if known is not None and ability not in known:
                raise cannot(model, ability)

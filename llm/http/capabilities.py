"""What a model can do, as `POST /api/show` tells; remembered for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import orjson

from llm.errors import LLMError
from llm.wire.error_map import cannot

KEPT_S = 60.0
"""How long an answer counts: a model may be pulled anew under its name."""
MAX_MODELS = 1000
"""Answers kept at most; a job names its model freely."""

Told: TypeAlias = frozenset[str] | None
"""A model's capabilities in Ollama's words; None where the server does not tell."""


class Ability(StrEnum):
    """What a request may want of a model besides text; the values are Ollama's words."""

    TOOLS = "tools"
    THINKING = "thinking"
    VISION = "vision"


def read_capabilities(body: bytes) -> Told:
    """The capabilities in an answer of /api/show; None where it names none. Pure, never raises.

    Servers before 0.6.4 have no such field.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    told = document.get("capabilities") if isinstance(document, dict) else None
    if not isinstance(told, list) or not told:
        return None
    return frozenset(name for name in told if isinstance(name, str))


@dataclass(frozen=True, slots=True)
class _Answer:
    told: asyncio.Task[Told]
    counts_until: float

    @property
    def is_fresh(self) -> bool:
        """Whether it counts."""
        return not self.told.done() or time.monotonic() < self.counts_until


class Capabilities:
    """Knows what models can do; used on one event loop.

    `ask` looks one model up and may raise an LLMError. However many callers want to know of a model
    at once, it is looked up once.
    """

    def __init__(self, ask: Callable[[str], Awaitable[Told]], *, kept_s: float = KEPT_S) -> None:
        self._ask = ask
        self._kept_s = kept_s
        self._answers: dict[str, _Answer] = {}

    async def of(self, model: str) -> Told:
        """What `model` can do; None where it cannot be known, or not now. Never raises."""
        answer = self._answers.get(model)
        if answer is None or not answer.is_fresh:
            until = time.monotonic() + self._kept_s
            answer = _Answer(asyncio.create_task(self._asked(model)), until)
            self._answers.pop(model, None)
            self._answers[model] = answer
            if len(self._answers) > MAX_MODELS:
                del self._answers[next(iter(self._answers))]
        # Shielded: the cancel of one job must not take the answer from the others.
        return await asyncio.shield(answer.told)

    async def require(self, model: str, abilities: Iterable[Ability]) -> None:
        """Raise UnsupportedError if `model` is known to lack one of these. Asks nobody for none."""
        wanted = list(abilities)
        told = await self.of(model) if wanted else None
        if told is None:
            return
        for ability in wanted:
            if ability not in told:
                raise cannot(model, ability)

    async def _asked(self, model: str) -> Told:
        try:
            return await self._ask(model)
        except LLMError:
            # Whatever is wrong, the chat call that follows says it better. The next one asks again.
            self._answers.pop(model, None)
            return None

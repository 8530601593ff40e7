"""What the workers tell each other of models that answer, through the memory."""

import asyncio
import logging
from contextvars import Context

from memory import AsyncConnection, Keyspace, MemoryServiceError, answers

logger = logging.getLogger(__name__)


class AnswersInMemory:
    """Implements llm's `SharedAnswers`; used on the event loop only. Nothing waits for a note."""

    def __init__(self, memory: AsyncConnection, keyspace: Keyspace) -> None:
        self._memory = memory
        self._keyspace = keyspace
        self._under_way: set[asyncio.Task[None]] = set()

    def note(self, server: str, model: str) -> None:
        """A call of the model got a piece of its reply at the server of this URL."""
        task = asyncio.create_task(self._note(server, model), context=Context())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def is_any_within(self, server: str, model: str, seconds: float) -> bool:
        """Whether any worker noted that within so many seconds; true where nobody can tell."""
        try:
            ago_ms = await self._memory.run(answers.ago_ms(self._keyspace, server, model))
        except MemoryServiceError:
            return True
        return ago_ms is not None and ago_ms <= seconds * 1000

    async def _note(self, server: str, model: str) -> None:
        try:
            await self._memory.run(answers.note(self._keyspace, server, model))
        except MemoryServiceError as exc:
            # Missed, another worker might restart a model that works: the next note is due soon.
            logger.debug("other workers cannot be told that %s answers: %s", model, exc)

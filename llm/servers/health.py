"""Whether a server is well, and which failed calls ended because it was not."""

import math
import time

from llm.errors import (
    LLMError,
    OllamaUnreachableError,
    RetryableLLMError,
    StreamCutError,
    TotalTimeoutError,
)
from llm.http.client import OllamaClient
from llm.http.shared_tasks import SharedTasks, result_of

# What ends a call whose server goes away under it.
BROKEN_OFF = (OllamaUnreachableError, StreamCutError)


class ServerHealth:
    """What looks at one server's health have shown. Belongs to one event loop."""

    def __init__(self, client: OllamaClient) -> None:
        self._client = client
        self._looks = SharedTasks()
        self._away_at = -math.inf

    async def is_well(self) -> bool:
        """Whether the server answers a look now. Raises no error."""
        answers = await self._client.health_check()
        if not answers:
            self.note_away()
        return answers

    def note_away(self) -> None:
        """Somebody has found the server away, just now."""
        self._away_at = time.monotonic()

    async def look_after(self, error: LLMError, asked_at: float) -> None:
        """Mark the failure of a call as an outage if it was one; it was made at `asked_at`, seconds
        as `time.monotonic` counts them.

        It was one where the server does not answer a look either; and where the connection broke
        off and somebody has found the server away since the call was made.
        """
        # A reply that took too long in all was coming until its end.
        if isinstance(error, TotalTimeoutError) or not isinstance(error, RetryableLLMError):
            return
        if error.is_outage:
            if isinstance(error, OllamaUnreachableError):
                self.note_away()
            return
        # One look for all calls that fail at the same time. It may come late, by a loop that was
        # held up or a reader that was slow, and find a server that is back.
        is_well = await result_of(self._looks.once("health", self.is_well))
        was_away = isinstance(error, BROKEN_OFF) and self._away_at >= asked_at
        error.is_outage = was_away or not is_well

    async def aclose(self) -> None:
        """End the look that is under way."""
        await self._looks.aclose()

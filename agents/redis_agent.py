"""An agent whose conversation lies in Redis, and goes on while Redis is away."""

import logging
from collections.abc import Mapping, Sequence

from agents.agent import BaseAgent, SessionInfo
from agents.profiles import Profiles
from agents.settings import AgentSettings
from llm import LLMService
from memory import MemoryUnavailable, RedisMemoryService, get_redis_memory

logger = logging.getLogger(__name__)


class RedisAgent(BaseAgent):
    """A BaseAgent that any process can continue: its history is loaded from and saved to Redis.

    While Redis is away it goes on in the memory of its process, with one warning in the log; the
    turns of that time are handed to Redis when it is back, in their order. `use_redis=None` takes
    AGENT_USE_REDIS_MEMORY.
    """

    def __init__(
        self,
        agent_id: str,
        session_id: str,
        keep_history: bool = True,
        max_history: int | None = None,
        use_redis: bool | None = None,
        *,
        llm: LLMService | None = None,
        profiles: Profiles | None = None,
        redis_memory: RedisMemoryService | None = None,
    ) -> None:
        super().__init__(
            agent_id, session_id, keep_history, max_history, llm=llm, profiles=profiles
        )
        self._session: str = session_id
        self.use_redis = AgentSettings().use_redis_memory if use_redis is None else use_redis
        self._redis = (redis_memory or get_redis_memory()) if self.use_redis else None
        self._unsaved: list[Mapping[str, object]] = []
        self._is_away = False
        self._load()

    @property
    def history(self) -> list[Mapping[str, object]]:
        """The conversation so far, oldest first, as Redis has it now; at most `max_history`."""
        self._load()
        return super().history

    def reset_history(self) -> None:
        """Forget the conversation, here and in Redis. Raises MemoryUnavailable if Redis is away:
        what is there would come back."""
        super().reset_history()
        self._unsaved = []
        if self._redis is not None:
            self._redis.clear_conversation_history(self.agent_id, self._session)

    def get_session_info(self) -> SessionInfo:
        """Whose conversation this is, and how long it has become."""
        return SessionInfo(**{**super().get_session_info(), "use_redis": self.use_redis})

    def _remember(self, turn: Sequence[Mapping[str, object]]) -> None:
        super()._remember(turn)
        self._unsaved.extend(turn)
        self._save()

    def _load(self) -> None:
        """Take the history from Redis; what Redis has not got yet stands behind it."""
        if self._redis is None or not self.keep_history:
            return
        self._save()
        try:
            stored = self._redis.get_conversation_history(self.agent_id, self._session)
        except MemoryUnavailable as exc:
            self._note_away(exc)
            return
        self._messages = []
        super()._remember([*stored, *self._unsaved])

    def _save(self) -> None:
        """Hand Redis what it has not got; each message leaves the list once it is there."""
        if self._redis is None:
            return
        try:
            while self._unsaved:
                self._redis.append_to_history(self.agent_id, self._session, self._unsaved[0])
                self._unsaved.pop(0)
        except MemoryUnavailable as exc:
            self._note_away(exc)
            return
        self._is_away = False

    def _note_away(self, error: MemoryUnavailable) -> None:
        if not self._is_away:
            logger.warning(
                "Redis is away; agent %s goes on in the memory of its process: %s",
                self.agent_id,
                error,
            )
        self._is_away = True

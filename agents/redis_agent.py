"""An agent whose conversation lies in Redis, and goes on while Redis is away."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence

from agents.agent import BaseAgent, SessionInfo
from agents.profiles import Profiles
from agents.settings import read_agent_settings
from agents.stored_history import StoredHistory, StoredTurn
from llm import LLMService
from memory import MemoryFull, MemoryUnavailable, RedisMemoryService, get_redis_memory
from memory.ids import shown_id
from memory.settings import read_settings

logger = logging.getLogger(__name__)


class RedisAgent(BaseAgent):
    """A BaseAgent that any process can continue: its history is loaded from and saved to Redis.

    `max_history` bounds what the model is shown and what `history` gives; Redis keeps
    HISTORY_MAX_MESSAGES. `use_redis=None` takes AGENT_USE_REDIS_MEMORY.

    While Redis is away, or full, it goes on in the memory of its process, with one warning in the
    log; the turns of that time are handed to Redis when it is back, in their order, each as a
    whole and once. (If Redis went away while a turn was being written and is away for more than
    ten minutes, that one turn may be there twice.) Other errors of the memory, such as a wrong
    password, are raised: MemoryServiceError.
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
        self.use_redis = read_agent_settings().use_redis_memory if use_redis is None else use_redis
        self._stored: StoredHistory | None = None
        self._unsaved: deque[StoredTurn] = deque()
        self._is_away = False
        if self.use_redis:
            memory = redis_memory or get_redis_memory()
            self._stored = StoredHistory(
                memory, agent_id, session_id, read_settings(), ttl_s=self.profile.ttl_s
            )
            self._load(self._stored)

    @property
    def history(self) -> list[Mapping[str, object]]:
        """The conversation so far, oldest first, as Redis has it now; at most `max_history`."""
        # Each time: another process may have gone on with the session.
        if self._stored is not None:
            self._load(self._stored)
        return super().history

    def reset_history(self) -> None:
        """Forget the conversation, in Redis and here.

        Raises MemoryUnavailable if Redis is away, and then nothing is forgotten: what is there
        would come back.
        """
        if self._stored is not None:
            self._stored.clear()
        self._unsaved.clear()
        super().reset_history()

    def get_session_info(self) -> SessionInfo:
        """Whose conversation this is, and how long it has become."""
        return SessionInfo(**{**super().get_session_info(), "use_redis": self.use_redis})

    def _remember(self, turn: Sequence[Mapping[str, object]]) -> None:
        if self._stored is not None:
            # First, for it refuses what cannot be kept.
            self._unsaved.append(self._stored.turn(turn))
        super()._remember(turn)
        if self._stored is not None:
            self._save(self._stored)

    def _load(self, stored: StoredHistory) -> None:
        """Take the history from Redis once Redis has all that happened here; else keep ours."""
        if not self.keep_history or not self._save(stored):
            return
        try:
            self._messages = list(stored.last(self.max_history))
        except MemoryUnavailable as exc:
            self._note_away(exc)
            return
        self._is_away = False

    def _save(self, stored: StoredHistory) -> bool:
        """Hand Redis what it has not got, turn by turn. Whether it has everything now."""
        try:
            while self._unsaved:
                # Taken out only afterwards: a turn that fails is written again, by the same name.
                stored.add(self._unsaved[0])
                self._unsaved.popleft()
                self._is_away = False
        except (MemoryUnavailable, MemoryFull) as exc:
            self._note_away(exc)
            return False
        return True

    def _note_away(self, error: MemoryUnavailable | MemoryFull) -> None:
        if not self._is_away:
            logger.warning(
                "Redis is unavailable or full; agent %s keeps its turns in this process and "
                "saves them when Redis is back: %s",
                shown_id(self.agent_id),
                error,
            )
        self._is_away = True

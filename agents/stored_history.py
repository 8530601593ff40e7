"""One conversation as it lies in Redis: its last messages, and turns that are added whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memory import MemorySettings, RedisMemoryService, encode_message, index
from memory.lifetimes import UNTIL_ERASED_S
from memory.records import history


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """Messages that are remembered together, under a name by which they are written once."""

    records: tuple[bytes, ...] = field(repr=False)
    write_id: bytes


class StoredHistory:
    """A session's history in Redis, for one agent.

    Raises only memory.MemoryServiceErrors. `limits` says how large a message may be and how many
    messages are kept (HISTORY_MAX_MESSAGES, HISTORY_MAX_BYTES).
    """

    def __init__(
        self,
        memory: RedisMemoryService,
        agent_id: str,
        session_id: str,
        limits: MemorySettings,
        *,
        ttl_s: int | None = None,
    ) -> None:
        """`ttl_s`: how long the session is kept, 0 until it is erased; else as `memory` says."""
        self._memory = memory
        self._agent_id = agent_id
        self._session_id = session_id
        self._keys = memory.keyspace.session(agent_id, session_id)
        self._limits = limits
        self._ttl_s = memory.default_ttl if ttl_s is None else ttl_s or UNTIL_ERASED_S

    def last(self, at_most: int) -> Sequence[Mapping[str, object]]:
        """The last `at_most` messages, oldest first. An element that is no message is left out."""
        # From -0, which is 0, Redis would give all messages.
        if at_most == 0:
            return []
        return self._memory.connection.run(history.read(self._keys, at_most=at_most)).messages

    def turn(self, messages: Sequence[Mapping[str, object]]) -> StoredTurn:
        """These messages, ready to be added. InvalidInput where one cannot be kept."""
        max_bytes = self._limits.max_value_bytes
        records = tuple(encode_message(message, max_bytes) for message in messages)
        return StoredTurn(records, history.new_write_id())

    def add(self, turn: StoredTurn) -> None:
        """Add a turn at the end, in one step, and renew the TTL; a longer one stays.

        Safe to repeat: Redis knows for ten minutes that it has the turn.
        """
        write = history.append(
            self._keys,
            turn.records,
            write_id=turn.write_id,
            keep=self._limits.held_messages,
            most_bytes=self._limits.held_bytes,
            ttl_s=self._ttl_s,
            # A longer TTL that somebody has set stays, as with a commit: docs/decisions.md, "COMMIT
            # never shortens a session's life".
            is_exact=False,
        )
        # Without its entry in the index clean-up and statistics would not know the session.
        touches = index.touch(self._memory.keyspace, self._agent_id, self._session_id)
        self._memory.connection.run_all(write, *touches)

    def clear(self) -> None:
        """Remove all messages. Safe to repeat."""
        self._memory.clear_conversation_history(self._agent_id, self._session_id)

"""The documented memory service: conversations, agent state and session data in Redis."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from memory.lifetimes import SESSION_TTL_S
from memory.records import history as histories
from memory.records import index, values
from memory.records.archived import forget
from memory.records.codec import Decoded, encode_mapping, encode_message, encode_value
from memory.records.index import live_sessions
from memory.records.limits import encoded_history, kept_messages, seconds
from memory.records.session_data import extend_session
from memory.records.stats import MemoryStats, memory_stats
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.probe import Probe
from memory.redis.replies import integer
from memory.settings import MemorySettings, settings_for
from memory.upkeep.erasure import erase_agent


class RedisMemoryService:
    """Persistent memory of agents, shared by every process that uses the same Redis.

    Threads may share one instance, and so may the parent and the child of a fork. Nothing is
    sent before the first call. Every method but `health_check` and `close` raises only
    `MemoryServiceError`s: InvalidInput before anything is written, MemoryUnavailable when Redis
    did not answer, and then calling again is safe.

    An `agent_id`, a `session_id` and a `key` are any text of 1 to 512 bytes. A `ttl` is in whole
    seconds; None means the service's default.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        password: str | None = None,
        default_ttl: int = SESSION_TTL_S,
        *,
        settings: MemorySettings | None = None,
        connection: Connection | None = None,
    ) -> None:
        """The Redis at `host`; limits and key prefix come from the environment.

        With `settings` the arguments before do not count; a `connection` is used instead of a new
        one. InvalidInput for an impossible address.
        """
        if settings is None:
            settings = settings_for(
                host=host, port=port, db=db, password=password, default_ttl_s=default_ttl
            )
        self.default_ttl = settings.default_ttl_s
        self.keyspace = settings.keyspace
        self.connection = connection or Connection(settings)
        self._settings = settings
        self._probe = Probe(self._ask)

    @classmethod
    def from_settings(cls, settings: MemorySettings) -> Self:
        """The service that `settings` describe."""
        return cls(settings=settings)

    def save_conversation_history(
        self,
        agent_id: str,
        session_id: str,
        history: Sequence[Mapping[str, object]],
        ttl: int | None = None,
    ) -> bool:
        """Write `history`, oldest message first, over what is there. True.

        A message is a dict of JSON values with a `role`, and comes back unchanged; what a model
        reads of it has the types that `memory.records.message` tells. At most HISTORY_MAX_MESSAGES,
        of HISTORY_MAX_BYTES; none at all clears. Jobs that wait in the session's mailbox stay.
        """
        keys = self.keyspace.session(agent_id, session_id)
        ttl_s = seconds(ttl, default_s=self.default_ttl)
        records = encoded_history(
            history,
            most=self._settings.history_max_messages,
            max_bytes=self._settings.max_value_bytes,
            most_bytes=self._settings.history_max_bytes,
        )
        write_id = histories.new_write_id()
        # Redis has no empty lists: no messages at all are a history that is cleared.
        if records:
            write = histories.replace(keys, records, write_id=write_id, ttl_s=ttl_s)
        else:
            write = histories.clear(keys, write_id=write_id)
        for one in forget(self.keyspace, keys):
            self.connection.run(one)
        self._write(write, agent_id, session_id)
        return True

    def get_conversation_history(
        self, agent_id: str, session_id: str
    ) -> list[dict[str, JsonValue]]:
        """The messages, oldest first; empty when there are none. At most HISTORY_MAX_MESSAGES,
        the newest. An element that is no message is left out and a warning logged."""
        return self.read_history(agent_id, session_id).messages

    def read_history(self, agent_id: str, session_id: str) -> Decoded:
        """`get_conversation_history`, with the number of elements that were no messages."""
        keys = self.keyspace.session(agent_id, session_id)
        at_most = self._settings.history_max_messages
        return self.connection.run(histories.read(keys, at_most=at_most))

    def append_to_history(
        self,
        agent_id: str,
        session_id: str,
        message: Mapping[str, object],
        max_history: int | None = None,
        ttl: int | None = None,
    ) -> bool:
        """Add one message, keep the last `max_history` (never more than HISTORY_MAX_MESSAGES, nor
        than HISTORY_MAX_BYTES of them) and renew the TTL, in one step. True. Without a `ttl` a
        longer TTL stays."""
        keys = self.keyspace.session(agent_id, session_id)
        write = histories.append(
            keys,
            [encode_message(message, self._settings.max_value_bytes)],
            write_id=histories.new_write_id(),
            keep=kept_messages(max_history, most=self._settings.held_messages),
            most_bytes=self._settings.held_bytes,
            ttl_s=seconds(ttl, default_s=self.default_ttl),
            is_exact=ttl is not None,
        )
        self._write(write, agent_id, session_id)
        return True

    def clear_conversation_history(self, agent_id: str, session_id: str) -> bool:
        """Remove the messages. Whether there were any. Jobs that wait in the mailbox stay."""
        keys = self.keyspace.session(agent_id, session_id)
        clear = histories.clear(keys, write_id=histories.new_write_id())
        return self.connection.run_last(*forget(self.keyspace, keys), clear) > 0

    def save_agent_state(
        self, agent_id: str, state: Mapping[str, object], ttl: int | None = None
    ) -> bool:
        """Write the agent's state, a dict of JSON values, over the former one. True.

        With a `ttl` it lives that long, without one as long as the agent is used.
        """
        key = self.keyspace.state(agent_id)
        encoded = encode_mapping(state, self._settings.max_value_bytes, what="state")
        return self._set(key, encoded, ttl)

    def get_agent_state(self, agent_id: str) -> dict[str, JsonValue] | None:
        """The agent's state; None when there is none. CorruptData when it is no JSON object."""
        return self.connection.run(
            values.load_mapping(self.keyspace, self.keyspace.state(agent_id))
        )

    def set_session_data(
        self, session_id: str, key: str, value: object, ttl: int | None = None
    ) -> bool:
        """Write one value of the session's data, any JSON. True.

        With a `ttl` it lives that long: only `extend_ttl` and another write change it. Without one
        it lives as long as the session, whose TTL is extended while it is used.
        """
        ttl_s = seconds(ttl, default_s=self.default_ttl)
        encoded = encode_value(value, self._settings.max_value_bytes, what="value")
        # The index first: data without an index entry could not be found again to be removed.
        self.connection.run_all(
            values.note_fields(self.keyspace, session_id, [key], ttl_s=ttl_s, is_exact=True),
            values.save(
                self.keyspace,
                self.keyspace.session_data(session_id, key),
                encoded,
                ttl_s=ttl_s,
                is_own=ttl is not None,
            ),
        )
        return True

    def get_session_data(self, session_id: str, key: str) -> JsonValue:
        """One value of the session's data; None when there is none.

        CorruptData when it is no JSON.
        """
        stored_at = self.keyspace.session_data(session_id, key)
        return self.connection.run(values.load(self.keyspace, stored_at))

    def get_all_sessions_for_agent(self, agent_id: str) -> list[str]:
        """The ids of the agent's sessions that have a history or jobs waiting, last used first."""
        return live_sessions(self.connection, self.keyspace, agent_id)

    def extend_ttl(self, agent_id: str, session_id: str, ttl: int | None = None) -> bool:
        """Let a session (history, events, session data) live at least `ttl` longer.

        Nothing is shortened. False when there is nothing to extend.
        """
        ttl_s = seconds(ttl, default_s=self.default_ttl)
        return extend_session(self.connection, self.keyspace, agent_id, session_id, ttl_s=ttl_s)

    def get_memory_stats(self) -> MemoryStats:
        """What Redis says of its memory, keys and clients, and how many sessions there are."""
        return memory_stats(self.connection, self.keyspace)

    def clear_all_agent_data(self, agent_id: str) -> int:
        """Erase an agent: its state and all of its sessions. How many keys held something.

        Of a session go history, summary, events and dead letters; jobs that wait or run end as
        erased, and the results of the jobs of the last week are replaced by that. A session's data
        goes with the last agent that has the session.
        """
        return erase_agent(self.connection, self.keyspace, agent_id)

    def health_check(self) -> bool:
        """Whether Redis answers within REDIS_TIMEOUT, and to us. Never raises."""
        return self._probe.is_answered(self._settings.timeout_s)

    def close(self) -> None:
        """Close all connections. Safe to repeat; the next call opens new ones."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self) -> None:
        # Not PING: a user who may not read our keys would get an answer to that.
        self.connection.run(Command(integer, ("EXISTS", self.keyspace.agents)))

    def _set(self, key: str, encoded: bytes, ttl: int | None) -> bool:
        ttl_s = seconds(ttl, default_s=self.default_ttl)
        is_own = ttl is not None
        save = values.save(self.keyspace, key, encoded, ttl_s=ttl_s, is_own=is_own)
        return self.connection.run(save)

    def _write(self, write: Command[int], agent_id: str, session_id: str) -> None:
        # A damaged index fails no write: docs/decisions.md, "A damaged key beside the sessions
        # fails no job".
        self.connection.run_all(write, *index.touch(self.keyspace, agent_id, session_id))

"""What a scheduler does for the memory: extend what is used, remove what is stale, note statistics.

Each run does a bounded amount of work, and may be repeated or run twice at once.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memory.keys import Keyspace
from memory.mailbox.due import Due
from memory.mailbox.mailbox import Mailbox
from memory.records import history, index, session_data, values
from memory.records.index import Entry
from memory.records.limits import MAX_TTL_S, whole_number
from memory.records.stats import MemoryStats, StatsPoint, read_stats, record_stats
from memory.redis.command import ignore_corrupt
from memory.redis.connection import Connection
from memory.upkeep.cleanup import CleanedUp, clean_stale

BATCH_SESSIONS = 100
STRAYS_BUDGET_S = 60.0
REQUESTS_SLACK = 1000
"""How many requests of forgotten jobs a session may keep."""


@dataclass(frozen=True, slots=True)
class Extended:
    """What a run of `extend_active` did; not complete where it stopped at its bound."""

    sessions: int
    keys: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """The maintenance of the memory that `connection` reaches.

    Every method raises only `MemoryServiceError`s, and then did a part of its work at most.
    """

    connection: Connection
    keyspace: Keyspace

    def extend_active(self, *, window_s: float, ttl_s: int, max_sessions: int = 10_000) -> Extended:
        """Let every session that was used in the last `window_s` live at least `ttl_s` longer:
        history, events, data, and the state of its agent. This does not count as use. What is
        remembered of jobs that are forgotten goes."""
        whole_number(ttl_s, what="ttl_s", most=MAX_TTL_S)
        since_ms = self.connection.run(index.server_time_ms()) - window_s * 1000
        sessions = keys = 0
        for agent in index.agents(self.connection, self.keyspace, since_ms=since_ms):
            state = values.extend(self.keyspace.state(agent), ttl_s=ttl_s)
            keys += self.connection.run(state)
            sessions_key = self.keyspace.sessions(agent)
            for batch in index.oldest_pages(
                self.connection, sessions_key, since_ms=since_ms, limit=BATCH_SESSIONS
            ):
                part = batch[: max_sessions - sessions]
                keys += self._extend(agent, part, ttl_s)
                sessions += len(part)
                if len(part) < len(batch):
                    return Extended(sessions, keys, is_complete=False)
        return Extended(sessions, keys, is_complete=True)

    def clean_stale(
        self, *, idle_s: float, max_sessions: int = 100_000, budget_s: float = 60.0
    ) -> CleanedUp:
        """Delete the sessions that were not used for `idle_s`, per agent the longest unused first.

        History and events go, and the session's data unless another agent still uses a session of
        that id. A session with work waiting or running, or whose history was read meanwhile, stays
        and counts as used now. At most about `max_sessions` sessions and `budget_s` per run.
        """
        return clean_stale(
            self.connection,
            self.keyspace,
            idle_s=idle_s,
            max_sessions=max_sessions,
            budget_s=budget_s,
        )

    def add_strays(self) -> int:
        """Put mailboxes with jobs, or with ends to deliver, that are missing on the due list back
        on it; how many.

        Looks at every session of the index for at most a minute, the last used first.
        """
        # Strays are found in the session index, in docs/decisions.md.
        deadline = time.monotonic() + STRAYS_BUDGET_S
        added = 0
        for agent in index.agents(self.connection, self.keyspace):
            for page in index.pages(self.connection, self.keyspace.sessions(agent)):
                if time.monotonic() >= deadline:
                    return added
                keys = [self.keyspace.session(agent, entry.member) for entry in page]
                # EXISTS asks for no type: one damaged key must not hide the other sessions.
                exist = [values.exist([one.queue, one.outbox]) for one in keys]
                found = self.connection.run_each(exist)
                waiting = [one.history for one, is_any in zip(keys, found, strict=True) if is_any]
                due = Due(self.keyspace)
                added += sum(self.connection.run_each([due.add_stray(one) for one in waiting]))
        return added

    def record_stats(self, *, keep: int = 10_000) -> MemoryStats:
        """Note the memory statistics of now; about the last `keep` points are kept."""
        return record_stats(self.connection, self.keyspace, keep=keep)

    def read_stats(
        self, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1000
    ) -> list[StatsPoint]:
        """The statistics noted between two moments, at most the last `limit`, oldest first."""
        return read_stats(self.connection, self.keyspace, since=since, until=until, limit=limit)

    def _extend(self, agent: str, batch: Sequence[Entry], ttl_s: int) -> int:
        ids = [entry.member for entry in batch]
        sessions = [self.keyspace.session(agent, one) for one in ids]
        # A damaged session costs the others nothing.
        extend = [ignore_corrupt(history.extend(one, ttl_s=ttl_s), 0) for one in sessions]
        found = self.connection.run_each(extend)
        # Requests have no TTL each: docs/decisions.md, "What makes two requests the same".
        boxes = [Mailbox(self.keyspace, one) for one in sessions]
        self.connection.run_each([ignore_corrupt(box.trim(REQUESTS_SLACK), 0) for box in boxes])
        most = session_data.MAX_FIELDS
        fields = [values.field_names(self.keyspace, one, at_most=most) for one in ids]
        data = [
            session_data.extend_data(self.connection, self.keyspace, one, names, ttl_s=ttl_s)
            for one, names in zip(ids, self.connection.run_each(fields), strict=True)
        ]
        return sum(found) + sum(data)

"""What a scheduler does for the memory: extend what is used, remove what is stale, note statistics.

Each run does a bounded amount of work, and may be repeated or run twice at once.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from memory.errors import CorruptData
from memory.ids import shown_id
from memory.keys import Keyspace, SessionKeys
from memory.lifetimes import SESSION_TTL_S
from memory.mailbox import dead_letters
from memory.mailbox.delayed import delayed_sessions
from memory.mailbox.due import Due
from memory.mailbox.due_sessions import DueSessions
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.schedules import scheduled_sessions
from memory.records import history, index, session_data, values
from memory.records.index import Entry
from memory.records.limits import MAX_TTL_S, whole_number
from memory.records.stats import MemoryStats, StatsPoint, read_stats, record_stats
from memory.redis.command import Command, ignore_corrupt
from memory.redis.connection import Connection
from memory.upkeep.cleanup import CleanedUp, clean_stale
from memory.upkeep.rounds import Round
from memory.upkeep.short_steps import ShortSteps
from memory.upkeep.totals import Totals, keep_totals

logger = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_SESSIONS = 100
STRAYS_PAGE = 500
STRAYS_BUDGET_S = 60.0
REQUESTS_SLACK = 1000
"""How many requests of forgotten jobs a session may keep."""


@dataclass(frozen=True, slots=True)
class Extended:
    """What a run of `extend_active` did; not complete where it stopped at its bound."""

    sessions: int
    keys: int
    is_complete: bool


@dataclass(frozen=True)
class Housekeeping:
    """The maintenance of the memory that `connection` reaches; for one thread.

    Every method raises only `MemoryServiceError`s, and then did a part of its work at most.
    """

    connection: Connection
    keyspace: Keyspace

    @cached_property
    def _steps(self) -> ShortSteps:
        return ShortSteps(self.connection)

    def extend_active(
        self, *, window_s: float, ttl_s: int | Callable[[str], int], max_sessions: int = 10_000
    ) -> Extended:
        """Let every session that was used in the last `window_s` live at least `ttl_s` longer:
        history, events, data, and the state of its agent; `ttl_s` may be a function of the agent.
        A value that was written with a TTL of its own keeps that. This does not count as use. Also
        trims request fingerprints of jobs that are past the time of deduplication.

        At most about `max_sessions` per run; the next run goes on from there."""
        if not callable(ttl_s):
            whole_number(ttl_s, what="ttl_s", most=MAX_TTL_S)
        since_ms = self.connection.run(index.server_time_ms()) - window_s * 1000
        sessions = keys = 0
        going = Round(self.connection, self.keyspace, "extend", since_ms)
        for agent, page in going.pages(limit=min(BATCH_SESSIONS, max_sessions)):
            its_ttl_s = ttl_s(agent) if callable(ttl_s) else ttl_s
            if not page:
                state = values.extend_by_session(self.keyspace.state(agent), ttl_s=its_ttl_s)
                found = self.connection.run(ignore_corrupt(state, values.OWN))
                keys += found != values.GONE
            keys += self._extend(agent, page, its_ttl_s)
            sessions += len(page)
            if sessions >= max_sessions:
                return Extended(sessions, keys, is_complete=False)
        return Extended(sessions, keys, is_complete=True)

    def clean_stale(
        self,
        *,
        idle_s: float,
        min_idle_s_of: Callable[[str], float] = lambda agent: 0,
        ttl_of: Callable[[str], float] = lambda agent: SESSION_TTL_S,
        max_sessions: int = 100_000,
        budget_s: float = 60.0,
    ) -> CleanedUp:
        """Delete the sessions that were not used for `idle_s`, per agent the longest unused first.

        `min_idle_s_of(agent)` raises `idle_s` for that agent. A history whose TTL was set longer
        than `ttl_of(agent)` stays until that TTL ends.

        History and events go, and the session's data unless another agent still uses a session of
        that id; a value with a TTL of its own keeps that. A session with work waiting or running,
        or whose history was read meanwhile, stays and counts as used now.
        At most about `max_sessions` sessions and `budget_s` per run.
        """
        return clean_stale(
            self.connection,
            self.keyspace,
            idle_s=idle_s,
            min_idle_s_of=min_idle_s_of,
            ttl_of=ttl_of,
            max_sessions=max_sessions,
            budget_s=budget_s,
        )

    def add_strays(self, *, budget_s: float = STRAYS_BUDGET_S) -> int:
        """Put mailboxes with jobs, or with ends to deliver, that are missing on the due list back
        on it; how many.

        Looks at the sessions of the index for at most about `budget_s`; the next run goes on from
        there.
        """
        # Strays are found in the session index, in docs/decisions.md.
        deadline = time.monotonic() + budget_s
        added = 0
        for agent, page in Round(self.connection, self.keyspace, "strays").pages(limit=STRAYS_PAGE):
            if page:
                added += self._add_strays(agent, page)
                if time.monotonic() >= deadline:
                    break
        return added

    def forget_old_letters(self) -> int:
        """Take the sessions off the list of dead letters whose letters have expired; how many."""
        now_ms = self.connection.run(index.server_time_ms())
        return self.connection.run(dead_letters.forget_old(self.keyspace, now_ms=now_ms))

    def keep_totals(self, *, max_letters: int) -> Totals:
        """Count sessions and dead letters, and note both for those who admit jobs; of more than
        `max_letters` dead letters the oldest go, and are named in the log."""
        return keep_totals(self.connection, self.keyspace, max_letters=max_letters)

    def record_stats(self, *, keep: int = 10_000) -> MemoryStats:
        """Note the memory statistics of now; about the last `keep` points are kept."""
        return record_stats(self.connection, self.keyspace, keep=keep)

    def read_stats(
        self, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1000
    ) -> list[StatsPoint]:
        """The statistics noted between two moments, at most the last `limit`, oldest first."""
        return read_stats(self.connection, self.keyspace, since=since, until=until, limit=limit)

    def _extend(self, agent: str, page: Sequence[Entry], ttl_s: int) -> int:
        sessions = [self.keyspace.session(agent, entry.member) for entry in page]
        found = self._of_each(sessions, lambda one: history.extend(one, ttl_s=ttl_s), 0)
        # Requests have no TTL each: docs/decisions.md, "What makes two requests the same".
        self._of_each(sessions, lambda one: Mailbox(self.keyspace, one).trim(REQUESTS_SLACK), 0)
        most, no_names = session_data.MAX_FIELDS, list[str]()
        names = self._of_each(
            sessions,
            lambda one: values.field_names(self.keyspace, one.session_id, at_most=most),
            no_names,
        )
        data = [
            session_data.extend_data(
                self.connection, self.keyspace, one.session_id, of_it, ttl_s=ttl_s
            )
            for one, of_it in zip(sessions, names, strict=True)
        ]
        return sum(found) + sum(data)

    def _add_strays(self, agent: str, page: Sequence[Entry]) -> int:
        sessions = [self.keyspace.session(agent, entry.member) for entry in page]
        # EXISTS asks for no type: one damaged key must not hide the other sessions.
        exist = [values.exist([one.queue, one.outbox]) for one in sessions]
        found = self._steps.run_each(exist)
        waiting = [one.history for one, is_any in zip(sessions, found, strict=True) if is_any]
        due = Due(self.keyspace)
        found = self._steps.run_each(due.add_stray(one) for one in waiting)
        lists = (
            (delayed_sessions(self.keyspace), "delayed"),
            (scheduled_sessions(self.keyspace), "schedules"),
        )
        return sum(found) + sum(self._add_to(due, name, sessions) for due, name in lists)

    def _add_to(self, due: DueSessions, name: str, sessions: Sequence[SessionKeys]) -> int:
        found = self._steps.run_each(values.exist([getattr(one, name)]) for one in sessions)
        waiting = [one.history for one, is_any in zip(sessions, found, strict=True) if is_any]
        return sum(self._steps.run_each(due.add_stray(one) for one in waiting))

    def _of_each(
        self, sessions: Sequence[SessionKeys], command: Callable[[SessionKeys], Command[T]], none: T
    ) -> list[T]:
        """The result of a command, safe to repeat, on each session; `none` of a damaged one."""
        try:
            return self._steps.run_each(command(one) for one in sessions)
        except CorruptData:
            return [self._of_one(one, command(one), none) for one in sessions]

    def _of_one(self, session: SessionKeys, command: Command[T], none: T) -> T:
        try:
            return self.connection.run(command)
        except CorruptData as exc:
            logger.error(
                "maintenance skips session %s of agent %s until you delete or repair it: %s",
                shown_id(session.session_id),
                shown_id(session.agent_id),
                exc,
            )
            return none

"""Deleting the sessions that are not used any more, a bounded number of them at a time."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from memory.errors import CorruptData
from memory.ids import is_id, shown_id
from memory.keys import Keyspace
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outcomes import CleanOutcome
from memory.records import index, session_data, values
from memory.records.index import Entry
from memory.redis.command import ignore_corrupt
from memory.redis.connection import Connection
from memory.upkeep.short_steps import ShortSteps
from memory.upkeep.strangers import without_strangers
from memory.upkeep.user_cleanup import forget_unused

logger = logging.getLogger(__name__)

BATCH_SESSIONS = 100
"""Sessions that are read from the index at once; how many go in one step, `ShortSteps` says."""
NEVER_MS = 1 << 52
"""Nothing is unused for so long."""
MAX_SHARERS = 1000
"""With more agents than this, a stale session's data is left to its TTL: finding out which other
agents use it would cost too much."""


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """What a run met, in sessions, and what it removed, in keys and in users of the users' index.

    `deleted`, `pending`, `busy` and `fresh` are the outcomes of CLEAN; `corrupt` sessions have a
    key of another type and were left alone. Not complete where it stopped at its bounds: the next
    run goes on from there.
    """

    deleted: int
    pending: int
    busy: int
    fresh: int
    corrupt: int
    keys: int
    users: int
    is_complete: bool


def clean_stale(
    connection: Connection,
    keyspace: Keyspace,
    *,
    idle_s: float,
    min_idle_s_of: Callable[[str], float],
    ttl_of: Callable[[str], float],
    max_sessions: int,
    budget_s: float,
) -> CleanedUp:
    """Delete what was not used for `idle_s`; see `housekeeping.Housekeeping.clean_stale`."""
    # docs/decisions.md, "A stale session is older than its TTL promises".
    deadline = time.monotonic() + budget_s
    now_ms = connection.run(index.server_time_ms())
    for page in index.pages(connection, keyspace.agents, is_known=lambda name: not is_id(name)):
        without_strangers(connection, keyspace.agents, page)
    agents = index.agents(connection, keyspace)
    idle_ms = {agent: int(max(idle_s, min_idle_s_of(agent)) * 1000) for agent in agents}
    ttl_ms = {agent: int(ttl_of(agent) * 1000) for agent in agents}
    run = _Run(connection, keyspace, agents, idle_ms, ttl_ms, now_ms, ShortSteps(connection))
    for agent in agents:
        try:
            while batch := run.unused(agent):
                run.clean(agent, batch)
                if run.met >= max_sessions or time.monotonic() >= deadline:
                    return run.result(is_complete=False)
            run.forget_if_empty(agent)
        except CorruptData as exc:
            logger.error(
                "stale sessions of agent %s are not cleaned up until you delete or repair "
                "their index: %s",
                shown_id(agent),
                exc,
            )
    run.users, is_complete = forget_unused(
        connection, keyspace, until_ms=now_ms - idle_s * 1000, deadline=deadline
    )
    return run.result(is_complete=is_complete)


@dataclass(slots=True)
class _Run:
    connection: Connection
    keyspace: Keyspace
    agents: list[str]
    idle_ms: Mapping[str, int]
    ttl_ms: Mapping[str, int]
    now_ms: float
    steps: ShortSteps
    met: int = 0
    keys: int = 0
    users: int = 0
    outcomes: Counter[CleanOutcome | None] = field(default_factory=Counter)

    def unused(self, agent: str) -> list[Entry]:
        """The sessions of an agent that were not used for the longest time."""
        key = self.keyspace.sessions(agent)
        ask = index.oldest(key, until_ms=self._until_ms(agent), limit=BATCH_SESSIONS)
        while batch := self.connection.run(ask):
            if ids := without_strangers(self.connection, key, batch):
                return ids
        return []

    def clean(self, agent: str, batch: Sequence[Entry]) -> None:
        """Delete those that are not in use. None of them comes back from `unused`."""
        # CLEAN looks again by itself: since the index was read the session may have been used.
        boxes = [Mailbox.of(self.keyspace, agent, one.member) for one in batch]
        idle_ms = [self.idle_ms[agent] if is_free else NEVER_MS for is_free in self._free(boxes)]
        commands = (
            ignore_corrupt(box.clean(ms, ttl_ms=self.ttl_ms[agent]), None)
            for box, ms in zip(boxes, idle_ms, strict=True)
        )
        gone, kept = [], []
        for entry, cleaned in zip(batch, self.steps.run_each(commands), strict=True):
            outcome = cleaned.outcome if cleaned is not None else None
            self.outcomes[outcome] += 1
            if cleaned is not None and outcome is CleanOutcome.DELETED:
                self.keys += cleaned.amount
                gone.append(entry)
            else:
                kept.append(entry)
        self.met += len(batch)
        # Who erases the agent finds data that stays by the session.
        has_data = self._remove_data(agent, [entry.member for entry in gone])
        kept += [entry for entry in gone if entry.member in has_data]
        gone = [entry for entry in gone if entry.member not in has_data]
        self._update_index(agent, gone, kept)

    def _free(self, boxes: Sequence[Mailbox]) -> list[bool]:
        """Whether each of these may go: where there is an archive, what it has not taken stays."""
        if not self.keyspace.has_archive:
            return [True] * len(boxes)
        held = self.steps.run_each(values.exist([box.keys.history]) for box in boxes)
        return [not is_held for is_held in held]

    def forget_if_empty(self, agent: str) -> None:
        """Drop an agent that has no sessions left."""
        seen_ms, sessions = self.connection.run_all(
            index.score(self.keyspace.agents, agent), index.size(self.keyspace.sessions(agent))
        )
        # A session that begins now touches the agent, and FORGET then leaves it.
        if seen_ms is not None and not sessions:
            self.connection.run(index.forget(self.keyspace.agents, [Entry(agent, seen_ms)]))

    def result(self, *, is_complete: bool) -> CleanedUp:
        """What has been done so far."""
        return CleanedUp(
            deleted=self.outcomes[CleanOutcome.DELETED],
            pending=self.outcomes[CleanOutcome.PENDING],
            busy=self.outcomes[CleanOutcome.BUSY],
            fresh=self.outcomes[CleanOutcome.FRESH],
            corrupt=self.outcomes[None],
            keys=self.keys,
            users=self.users,
            is_complete=is_complete,
        )

    def _update_index(self, agent: str, gone: Sequence[Entry], kept: Sequence[Entry]) -> None:
        # A session that was kept counts as used now, or each run would look at it first again.
        # Last of all: a run that dies before this finds the same sessions again.
        if gone:
            self.connection.run(index.forget(self.keyspace.sessions(agent), gone))
        sessions = self.keyspace.sessions(agent)
        touches = [ignore_corrupt(index.touch_index(sessions, entry.member), 0) for entry in kept]
        self.steps.run_each(touches)

    def _remove_data(self, agent: str, session_ids: Sequence[str]) -> set[str]:
        """Remove what lives as long as these sessions; those of which data with a TTL of its own
        stays."""
        left: set[str] = set()
        if not session_ids or len(self.agents) > MAX_SHARERS:
            return left
        for session_id in self._with_data(session_ids):
            try:
                if not self._is_used_by_others(agent, session_id):
                    removed, has_own = session_data.remove_unused_data(
                        self.connection, self.keyspace, session_id
                    )
                    self.keys += removed
                    left |= {session_id} if has_own else set()
            except CorruptData as exc:
                logger.warning(
                    "data of session %s could not be deleted; it stays until its TTL ends: %s",
                    shown_id(session_id),
                    exc,
                )
        return left

    def _with_data(self, session_ids: Sequence[str]) -> list[str]:
        fields = [self.keyspace.session_fields(one) for one in session_ids]
        # Most sessions have none: one question for all of them first.
        if not self.connection.is_cluster and not self.connection.run(values.exist(fields)):
            return []
        exist = self.connection.run_each([values.exist([key]) for key in fields])
        return [one for one, is_there in zip(session_ids, exist, strict=True) if is_there]

    def _is_used_by_others(self, agent: str, session_id: str) -> bool:
        # Session data belongs to no agent: one id may be in use with several.
        others = [other for other in self.agents if other != agent]
        scores = self.connection.run_each(
            [index.score(self.keyspace.sessions(other), session_id) for other in others]
        )
        return any(
            seen_ms is not None and seen_ms > self._until_ms(other)
            for other, seen_ms in zip(others, scores, strict=True)
        )

    def _until_ms(self, agent: str) -> float:
        """What of an agent was not used since then is stale."""
        return self.now_ms - self.idle_ms[agent]

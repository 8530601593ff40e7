"""Going over all sessions a bounded part at a time: each run goes on where the last one stopped.

So every session has its turn after some runs, however many there are. A run goes round: behind the
last agent it begins again with the first, up to where it has begun itself.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import orjson

from memory.errors import CorruptData
from memory.ids import is_id, shown_id
from memory.keys import Keyspace
from memory.lifetimes import UPKEEP_TTL_S
from memory.records import index
from memory.records.index import Entry
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import nothing, optional, raw

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    """Behind `skip` entries of `until_ms`, in an index that is read newest first."""

    until_ms: float = inf
    skip: int = 0

    def behind(self, page: Sequence[Entry]) -> "_Place":
        """The place behind a page, not empty, that was read from here."""
        # Several sessions may have been used in the last one's millisecond: those that were on this
        # page are skipped on the next.
        last_ms = page[-1].seen_ms
        with_last = sum(entry.seen_ms == last_ms for entry in page)
        return _Place(last_ms, with_last + (self.skip if last_ms == self.until_ms else 0))


@dataclass(frozen=True, slots=True)
class _Leg:
    """The part of an agent's sessions that a run reads at one go, the last used first."""

    agent: str
    begin: _Place
    since_ms: float


@dataclass(frozen=True, slots=True)
class Round:
    """The place of one task in the sessions that were active at `since_ms` or later."""

    connection: Connection
    keyspace: Keyspace
    task: str
    since_ms: float = -inf

    def pages(self, *, limit: int) -> Iterator[tuple[str, list[Entry]]]:
        """Agents with up to `limit` of their sessions, from where the last run stopped.

        An agent comes with an empty list first. Stop iterating at your bound; the next run goes on
        behind the last page. Who reads to the end has seen every session. An agent whose index is
        damaged is passed over and logged.
        """
        agents = sorted(index.agents(self.connection, self.keyspace, since_ms=self.since_ms))
        for leg in self._legs(agents):
            yield leg.agent, []
            try:
                yield from self._pages_of(leg, limit)
            except CorruptData as exc:
                logger.error(
                    "%s skips the sessions of agent %s until you delete or repair their "
                    "index: %s", self.task, shown_id(leg.agent), exc
                )  # fmt: skip
        self.connection.run(Command(nothing, ("UNLINK", self._key)))

    def _pages_of(self, leg: _Leg, limit: int) -> Iterator[tuple[str, list[Entry]]]:
        place, page = leg.begin, self._page(leg, leg.begin, limit)
        while page:
            place = place.behind(page)
            # Before the work: what ends a run in one page must not end each run there.
            noted = orjson.dumps([leg.agent, place.until_ms, place.skip])
            self.connection.run(Command(nothing, ("SET", self._key, noted, "EX", UPKEEP_TTL_S)))
            # Clean-up names and removes what is no id.
            if known := [entry for entry in page if is_id(entry.member)]:
                yield leg.agent, known
            page = self._page(leg, place, limit) if len(page) == limit else []

    def _page(self, leg: _Leg, place: _Place, limit: int) -> list[Entry]:
        return self.connection.run(
            index.newest(
                self.keyspace.sessions(leg.agent),
                since_ms=leg.since_ms,
                until_ms=place.until_ms,
                skip=place.skip,
                limit=limit,
            )
        )

    def _legs(self, agents: Sequence[str]) -> list[_Leg]:
        stopped_at, place = self._place()
        whole = [
            _Leg(agent, _Place(), self.since_ms)
            for agent in (
                *(agent for agent in agents if agent > stopped_at),
                *(agent for agent in agents if agent < stopped_at),
            )
        ]
        if stopped_at not in agents:
            return whole
        rest = _Leg(stopped_at, place, self.since_ms)
        begin = _Leg(stopped_at, _Place(), max(self.since_ms, place.until_ms))
        return [rest, *whole, begin]

    def _place(self) -> tuple[str, _Place]:
        """Where the last run stopped; before all agents where that is not known."""
        try:
            stored = self.connection.run(Command(optional(raw), ("GET", self._key)))
        except CorruptData:
            return "", _Place()
        match _decoded(stored or b""):
            case [str(agent), float(until_ms), int(skip)] if skip >= 0:
                return agent, _Place(until_ms, skip)
        return "", _Place()

    @property
    def _key(self) -> str:
        return self.keyspace.upkeep(self.task)


def _decoded(stored: bytes) -> object:
    try:
        return orjson.loads(stored)
    except orjson.JSONDecodeError:
        return None

"""What takes conversations out of Redis: those whose time is over, and the oldest messages of those
that have become too long. They are in the archive before they leave.

A run does a bounded amount of work and goes on where the last one stopped. It may be killed at any
point: what was written and not yet removed is written again, to the same places.
"""

import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from memory.archive.state import LastRun, note_run
from memory.archive.store import Archive, Leaving
from memory.errors import ArchiveUnavailable, MemoryServiceError
from memory.keys import Keyspace, SessionKeys
from memory.records import archived, index, users
from memory.records.archived import Part, Stay
from memory.records.index import Entry
from memory.redis.command import ignore_corrupt
from memory.redis.connection import Connection
from memory.upkeep.rounds import Round
from memory.upkeep.short_steps import ShortSteps

logger = logging.getLogger(__name__)

PAGE_SESSIONS = 200
BATCH_SESSIONS = 50
"""Sessions that are written together: each write waits for the disk once."""
SETTLED_MS = 60_000
"""A session that is to be forgotten stays on the list for so long: its history goes meanwhile."""
MOST_USERS = 10_000
"""Of a session: as many as an erasure finds in Redis."""


@dataclass(slots=True)
class ArchiveRun:
    """What a run did: `looked` sessions, `moved` ones that left Redis, `messages` written,
    `forgotten` conversations. `overdue_s`: how late the latest of them was. Not complete where it
    stopped at its bounds, or where another process archives."""

    is_complete: bool = True
    looked: int = 0
    moved: int = 0
    messages: int = 0
    forgotten: int = 0
    overdue_s: float = 0.0


@dataclass(frozen=True)
class Archiver:
    """Archives the histories that `connection` reaches; for one thread. `stay` bounds a history
    that is in use.

    Raises ArchiveUnavailable, and then nothing has left Redis that is not in the archive; and
    MemoryServiceErrors.
    """

    connection: Connection
    keyspace: Keyspace
    file: Archive
    stay: Stay
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(self, *, max_sessions: int = 20_000, budget_s: float = 45.0) -> ArchiveRun:
        """Take what is to be taken, of at most about `max_sessions` sessions."""
        done = ArchiveRun()
        if not self._begin():
            return ArchiveRun(is_complete=False)
        try:
            self._go(done, max_sessions, time.monotonic() + budget_s)
            self._note(done, "")
        except MemoryServiceError as exc:
            # The next run must not wait for the end of this one's lock.
            self._end()
            if isinstance(exc, ArchiveUnavailable):
                self._note(done, str(exc))
            raise
        self._end()
        return done

    def _go(self, done: ArchiveRun, max_sessions: int, deadline_s: float) -> None:
        self.file.check()
        done.forgotten = self._forget()
        going = Round(self.connection, self.keyspace, "archive")
        for agent, page in going.pages(limit=PAGE_SESSIONS):
            self._take_page(agent, page, done)
            if done.looked >= max_sessions or time.monotonic() >= deadline_s:
                done.is_complete = False
                break

    def _begin(self) -> bool:
        if self.connection.run(archived.take_lock(self.keyspace, self.name)):
            return True
        # After a lost reply the lock is ours.
        return self.connection.run(archived.lock_holder(self.keyspace)) == self.name.encode()

    def _end(self) -> None:
        with suppress(MemoryServiceError):
            if self.connection.run(archived.lock_holder(self.keyspace)) == self.name.encode():
                self.connection.run(archived.release_lock(self.keyspace))

    def _take_page(self, agent: str, page: Sequence[Entry], done: ArchiveRun) -> None:
        sessions = [(self.keyspace.session(agent, entry.member), entry) for entry in page]
        looks = (ignore_corrupt(archived.look(keys, self.stay), 0) for keys, _ in sessions)
        overdue_ms = ShortSteps(self.connection).run_each(looks)
        done.looked += len(page)
        done.overdue_s = max([done.overdue_s, *(ms / 1000 for ms in overdue_ms)])
        wanted = [one for one, ms in zip(sessions, overdue_ms, strict=True) if ms]
        for begin in range(0, len(wanted), BATCH_SESSIONS):
            rest = wanted[begin : begin + BATCH_SESSIONS]
            while rest:
                rest = self._take_batch(agent, rest, done)

    def _take_batch(
        self, agent: str, sessions: Sequence[tuple[SessionKeys, Entry]], done: ArchiveRun
    ) -> list[tuple[SessionKeys, Entry]]:
        """Archive the next part of each of these sessions; those of which more is to be taken."""
        if self.connection.run(archived.lock_holder(self.keyspace)) != self.name.encode():
            return []
        self.connection.run(archived.renew_lock(self.keyspace))
        taking = [(keys, entry, part) for keys, entry, part in self._parts(sessions)]
        if not taking:
            return []
        now_ms = self.connection.run(index.server_time_ms())
        found = self.connection.run_each(
            [users.of_session(keys, at_most=MOST_USERS) for keys, _, _ in taking]
        )
        self.file.write(
            [Leaving(keys, part, who) for (keys, _, part), who in zip(taking, found, strict=True)],
            now_ms=now_ms,
        )
        # A damaged key keeps its own session here, and no other one.
        takes = [ignore_corrupt(archived.taken(keys, part), False) for keys, _, part in taking]
        gone = self.connection.run_each(takes)
        left = []
        for (keys, entry, part), is_gone in zip(taking, gone, strict=True):
            if is_gone:
                done.messages += len(part.records)
                done.moved += part.is_all
                left.append((keys, entry, part.is_all))
        moved = [entry for _, entry, is_all in left if is_all]
        if moved:
            self.connection.run(index.forget(self.keyspace.sessions(agent), moved))
        return [(keys, entry) for keys, entry, is_all in left if not is_all]

    def _parts(
        self, sessions: Sequence[tuple[SessionKeys, Entry]]
    ) -> Iterator[tuple[SessionKeys, Entry, Part]]:
        """What is to be taken, but for sessions of which all that is archived is to be forgotten
        first: what is new would go with the old."""
        asked = [archived.is_readable(self.keyspace, keys) for keys, _ in sessions]
        is_known = self.connection.run_each(asked)
        known = [one for one, is_one in zip(sessions, is_known, strict=True) if is_one]
        takes = [
            ignore_corrupt(archived.take(keys, self.stay, uuid.uuid4().hex), None)
            for keys, _ in known
        ]
        found = self.connection.run_each(takes)
        for (keys, entry), part in zip(known, found, strict=True):
            if part is not None:
                yield keys, entry, part

    def _forget(self) -> int:
        """Delete what is archived of sessions whose history was removed; how many conversations."""
        forgotten, key = 0, self.keyspace.archive_forgotten
        now_ms = self.connection.run(index.server_time_ms())
        for page in list(index.pages(self.connection, key, is_known=lambda member: True)):
            forgotten += sum(self._forget_one(entry.member) for entry in page)
            old = [entry for entry in page if entry.seen_ms < now_ms - SETTLED_MS]
            if old:
                self.connection.run(index.forget(key, old))
        return forgotten

    def _forget_one(self, member: str) -> int:
        """Delete what is archived of a session, or of all of an agent, but for histories that are
        in Redis."""
        agent = archived.agent_forgotten(self.keyspace, member)
        if agent is not None:
            sessions = (self.keyspace.session(agent, one) for one in self.file.of_agent(agent))
            return sum(self._forget_one(keys.history) for keys in sessions)
        keys = self.keyspace.find_session(member)
        # Where the name of what is in Redis cannot be read, all that is archived goes: of what is
        # erased none may stay.
        asked = None if keys is None else ignore_corrupt(archived.place(keys), None)
        place = None if asked is None else self.connection.run(asked)
        return self.file.forget(member, but=place[0] if place else None)

    def _note(self, done: ArchiveRun, error: str) -> None:
        """Tell operators what the run has come to; whoever reads it shows it as text."""
        at_ms = self.connection.run(index.server_time_ms())
        if error:
            logger.error(
                "nothing is archived, and histories stay in Redis until it can be: %s", error
            )
        run = LastRun(at_ms, error, done.overdue_s)
        self.connection.run(note_run(self.keyspace, run))

"""What every archive does, whatever keeps it: conversations as they lay in Redis, records encrypted
as there. All calls block: they are for threads.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from memory.archive import sql
from memory.keys import SessionKeys
from memory.records.archived import Part
from memory.records.users import name_of


@dataclass(frozen=True, slots=True)
class Leaving:
    """A part of a session's conversation that is to be written, and who wrote in the session."""

    keys: SessionKeys
    part: Part
    users: Sequence[str]


@dataclass(frozen=True, slots=True)
class Content:
    """How much an archive has; `oldest_ms` is when the first of it was written, by Redis' clock."""

    conversations: int
    messages: int
    oldest_ms: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ArchivedSession:
    """What there is of a session; `written_ms` is when the last of it was written, by Redis'
    clock."""

    session_id: str
    messages: int
    written_ms: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One record as it lies in the archive, of the history of that key."""

    conversation: int
    place: int
    record: bytes
    history: str


class Rows(Protocol):
    """What a statement has found, or how many rows it has changed."""

    @property
    def rowcount(self) -> int:
        """How many rows it has changed."""

    def fetchall(self) -> Sequence[Any]:
        """The rows."""


class Statements(Protocol):
    """A connection within a transaction."""

    def execute(self, statement: str, values: Mapping[str, object], /) -> Rows:
        """Run a statement of memory.archive.sql."""

    def executemany(self, statement: str, values: Sequence[Mapping[str, object]], /) -> object:
        """Run it once for each of some values, at least one."""


class Archive(ABC):
    """Where conversations go that leave Redis. Raises ArchiveUnavailable only."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Where it is, for people: no password is in it."""

    def write(self, leaving: Sequence[Leaving], *, now_ms: int) -> None:
        """Write parts of conversations, all of them or none; on the disk when this returns. What
        lies at the same place is replaced. Safe to repeat."""
        with self._writing() as db:
            for one in leaving:
                _write_one(db, one, now_ms)

    def newest(self, keys: SessionKeys, *, at_most: int, before: int | None = None) -> Part | None:
        """The last `at_most` messages of a session's last conversation, with its summary; those
        before a place where one is given. None where the archive has nothing of it."""
        with self._reading() as db:
            found = db.execute(sql.NEWEST, {"history": keys.history}).fetchall()
            if not found:
                return None
            conversation, generation, text, until = found[0]
            end = 2**62 if before is None else before
            asked = {"conversation": conversation, "before": end, "at_most": at_most}
            rows = db.execute(sql.LAST, asked).fetchall()
        if not rows:
            return None
        records = tuple(record for _, record in reversed(rows))
        return Part(generation, rows[-1][0], records, text, until)

    def every(self, keys: SessionKeys, *, but: tuple[str, int] | None = None) -> list[bytes]:
        """All messages of a session, of all its conversations, oldest first; without those of one
        generation from a place on, which Redis still has."""
        generation, place = but or ("", 0)
        asked = {"history": keys.history, "but": generation, "place": place}
        with self._reading() as db:
            return [record for (record,) in db.execute(sql.EVERY, asked).fetchall()]

    def count(self, keys: SessionKeys) -> int:
        """How many messages there are of a session, of all its conversations."""
        with self._reading() as db:
            return int(db.execute(sql.COUNT, {"history": keys.history}).fetchall()[0][0])

    def forget(self, history: str, *, but: str | None = None) -> int:
        """Delete what there is of a session, but for the conversation of that generation. How many
        conversations went. Safe to repeat."""
        with self._writing() as db:
            found = db.execute(sql.OLD, {"history": history, "but": but}).fetchall()
            old = [{"old": conversation} for (conversation,) in found]
            for statement in sql.FORGET if old else ():
                db.executemany(statement, old)
        return len(old)

    def of_user(self, user: str) -> list[tuple[str, str, bool]]:
        """The sessions in which a user wrote: agent, session, and whether others wrote there."""
        with self._reading() as db:
            rows = db.execute(sql.OF_USER, {"user": name_of(user)}).fetchall()
        return [(agent, session, bool(is_shared)) for agent, session, is_shared in rows]

    def users_of(self, keys: SessionKeys) -> set[str]:
        """Those who wrote in a session, as `users.name_of` names them."""
        with self._reading() as db:
            rows = db.execute(sql.USERS_OF, {"history": keys.history}).fetchall()
        return {user for (user,) in rows}

    def of_agent(self, agent_id: str) -> list[str]:
        """The sessions of an agent."""
        with self._reading() as db:
            rows = db.execute(sql.OF_AGENT, {"agent": agent_id}).fetchall()
        return [session for (session,) in rows]

    def sessions(self, agent_id: str, *, at_most: int) -> list[ArchivedSession]:
        """The sessions of an agent, that which was written last first."""
        with self._reading() as db:
            rows = db.execute(sql.SESSIONS, {"agent": agent_id, "most": at_most}).fetchall()
        return [ArchivedSession(session, int(n), written_ms) for session, n, written_ms in rows]

    def agents_of(self, session_id: str) -> list[str]:
        """The agents that have a session of this id. It looks at each conversation."""
        with self._reading() as db:
            rows = db.execute(sql.AGENTS_OF, {"session": session_id}).fetchall()
        return [agent for (agent,) in rows]

    def content(self) -> Content:
        """How much there is."""
        with self._reading() as db:
            ((conversations, oldest_ms),) = db.execute(
                "SELECT count(*), min(written_ms) FROM conversations", {}
            ).fetchall()
            ((messages,),) = db.execute("SELECT count(*) FROM messages", {}).fetchall()
            ((size_bytes,),) = db.execute(self._size, {}).fetchall()
        return Content(conversations, messages, oldest_ms, int(size_bytes))

    def pages(self, *, limit: int = 500) -> Iterator[list[Stored]]:
        """All records of messages, a page at a time; what is written meanwhile may be missing."""
        conversation, place = 0, -1
        while True:
            asked = {"conversation": conversation, "place": place, "most": limit}
            with self._reading() as db:
                rows = db.execute(sql.PAGE, asked).fetchall()
            if not rows:
                return
            page = [Stored(*row) for row in rows]
            yield page
            conversation, place = page[-1].conversation, page[-1].place

    def rewrite(self, swaps: Sequence[tuple[Stored, bytes]]) -> int:
        """Write records anew that are still those that were read. How many were."""
        written = 0
        with self._writing() as db:
            for was, new in swaps:
                place = {"conversation": was.conversation, "place": was.place}
                written += db.execute(sql.SWAP, {**place, "old": was.record, "new": new}).rowcount
        return written

    def summaries(self) -> list[tuple[int, str, bytes, bytes]]:
        """The summaries of all conversations that have one: number, key of the history, text, and
        which message is the last one in it."""
        with self._reading() as db:
            rows = db.execute(sql.SUMMARIES, {}).fetchall()
        return [(number, history, text, until) for number, history, text, until in rows]

    def rewrite_summary(self, old: tuple[int, str, bytes, bytes], new: tuple[bytes, bytes]) -> int:
        """Write a summary anew that is still the one that was read: 1, else 0."""
        number, _, text, until = old
        was = {"id": number, "text": text, "until": until}
        with self._writing() as db:
            changed = {**was, "new_text": new[0], "new_until": new[1]}
            return db.execute(sql.SWAP_SUMMARY, changed).rowcount

    def check(self) -> None:
        """Raise where nothing could be written now."""
        with self._writing() as db:
            db.execute("UPDATE conversations SET written_ms = written_ms WHERE id = -1", {})

    @abstractmethod
    def close(self) -> None:
        """Close what is open. Safe to repeat; the next use opens it again."""

    @property
    @abstractmethod
    def _size(self) -> str:
        """What asks for the size on the disk, bytes."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Statements]: ...

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Statements]:
        """A transaction; one writes at a time, in any process."""


def _write_one(db: Statements, one: Leaving, now_ms: int) -> None:
    keys, part = one.keys, one.part
    named = {"history": keys.history, "agent": keys.agent_id, "session": keys.session_id}
    row = {**named, "generation": part.generation, "text": part.text, "until": part.until}
    ((number,),) = db.execute(sql.CONVERSATION, {**row, "now_ms": now_ms}).fetchall()
    conversation = {"conversation": number}
    places = enumerate(part.records, start=part.first)
    messages = [{**conversation, "place": place, "record": record} for place, record in places]
    if messages:
        db.executemany(sql.MESSAGE, messages)
    if part.is_all:
        # Written before the session was used again, and shorter since.
        db.execute(sql.REST, {**conversation, "place": part.first + len(part.records)})
    if one.users:
        db.executemany(sql.USER, [{**conversation, "user": user} for user in one.users])

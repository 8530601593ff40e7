"""The archive as a SQLite file: conversations as they lay in Redis, records encrypted as there.

Several processes of one machine may use the file at once. All calls block: they are for threads.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from memory.archive.sql import CONVERSATION, MESSAGE, NEWEST, PAGE, SCHEMA
from memory.errors import ArchiveUnavailable
from memory.keys import SessionKeys
from memory.records.archived import Part

SCHEME = "sqlite:///"
PATIENCE_S = 10.0
"""How long one process waits for another one that writes."""


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
class Stored:
    """One record as it lies in the archive, of the history of that key."""

    conversation: int
    place: int
    record: bytes
    history: str


class ArchiveFile:
    """The archive at a path; opened, and made, by its first use. Raises ArchiveUnavailable only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    @classmethod
    def at(cls, url: str) -> Self:
        """The archive at `sqlite:///<path>`."""
        return cls(Path(unquote(url.removeprefix(SCHEME))))

    def write(self, leaving: Sequence[Leaving], *, now_ms: int) -> None:
        """Write parts of conversations, all of them or none; on the disk when this returns. What
        lies at the same place is replaced. Safe to repeat."""
        with self._writing() as db:
            for one in leaving:
                self._write_one(db, one, now_ms)

    def newest(self, keys: SessionKeys, *, at_most: int, before: int | None = None) -> Part | None:
        """The last `at_most` messages of a session's last conversation, with its summary; those
        before a place where one is given. None where the archive has nothing of it."""
        with self._reading() as db:
            found = db.execute(NEWEST, (keys.history,)).fetchone()
            if found is None:
                return None
            conversation, generation, text, until = found
            rows = db.execute(
                "SELECT place, record FROM messages WHERE conversation = ? AND place < ? "
                "ORDER BY place DESC LIMIT ?",
                (conversation, 2**62 if before is None else before, at_most),
            ).fetchall()
        if not rows:
            return None
        records = tuple(record for _, record in reversed(rows))
        return Part(generation, rows[-1][0], records, text, until)

    def every(self, keys: SessionKeys, *, but: tuple[str, int] | None = None) -> list[bytes]:
        """All messages of a session, of all its conversations, oldest first; without those of one
        generation from a place on, which Redis still has."""
        query = (
            "SELECT record FROM messages JOIN conversations ON id = conversation "
            "WHERE history = ? AND NOT (generation = ? AND place >= ?) "
            "ORDER BY conversation, place"
        )
        with self._reading() as db:
            rows = db.execute(query, (keys.history, *(but or ("", 0)))).fetchall()
        return [record for (record,) in rows]

    def count(self, keys: SessionKeys) -> int:
        """How many messages there are of a session, of all its conversations."""
        query = (
            "SELECT count(*) FROM messages JOIN conversations ON id = conversation "
            "WHERE history = ?"
        )
        with self._reading() as db:
            (messages,) = db.execute(query, (keys.history,)).fetchone()
        return int(messages)

    def forget(self, history: str, *, but: str | None = None) -> int:
        """Delete what there is of a session, but for the conversation of that generation. How many
        conversations went. Safe to repeat."""
        with self._writing() as db:
            old = db.execute(
                "SELECT id FROM conversations WHERE history = ? AND generation IS NOT ?",
                (history, but),
            ).fetchall()
            for table, column in (("messages", "conversation"), ("users", "conversation")):
                db.executemany(f"DELETE FROM {table} WHERE {column} = ?", old)  # noqa: S608 - ours
            db.executemany("DELETE FROM conversations WHERE id = ?", old)
        return len(old)

    def of_user(self, user: str) -> list[tuple[str, str, bool]]:
        """The sessions in which a user wrote: agent, session, and whether others wrote there."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT DISTINCT agent, session, EXISTS (SELECT 1 FROM users AS other "
                "WHERE other.conversation = id AND other.user <> users.user) "
                "FROM users JOIN conversations ON id = conversation WHERE user = ?",
                (user,),
            ).fetchall()
        return [(agent, session, bool(is_shared)) for agent, session, is_shared in rows]

    def of_agent(self, agent_id: str) -> list[str]:
        """The sessions of an agent."""
        query = "SELECT DISTINCT session FROM conversations WHERE agent = ?"
        with self._reading() as db:
            return [session for (session,) in db.execute(query, (agent_id,))]

    def content(self) -> Content:
        """How much there is."""
        with self._reading() as db:
            conversations, oldest_ms = db.execute(
                "SELECT count(*), min(written_ms) FROM conversations"
            ).fetchone()
            (messages,) = db.execute("SELECT count(*) FROM messages").fetchone()
            (size_bytes,) = db.execute(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            ).fetchone()
        return Content(conversations, messages, oldest_ms, size_bytes)

    def pages(self, *, limit: int = 500) -> Iterator[list[Stored]]:
        """All records of messages, a page at a time; what is written meanwhile may be missing."""
        at = (0, -1)
        while True:
            with self._reading() as db:
                rows = db.execute(PAGE, (*at, limit)).fetchall()
            if not rows:
                return
            yield [Stored(*row) for row in rows]
            at = rows[-1][:2]

    def rewrite(self, swaps: Sequence[tuple[Stored, bytes]]) -> int:
        """Write records anew that are still those that were read. How many were."""
        with self._writing() as db:
            return db.executemany(
                "UPDATE messages SET record = ? WHERE conversation = ? AND place = ? "
                "AND record = ?",
                [(new, old.conversation, old.place, old.record) for old, new in swaps],
            ).rowcount

    def summaries(self) -> list[tuple[int, str, bytes, bytes]]:
        """The summaries of all conversations that have one: number, key of the history, text, and
        which message is the last one in it."""
        query = "SELECT id, history, summary, until FROM conversations WHERE summary <> x''"
        with self._reading() as db:
            return db.execute(query).fetchall()

    def rewrite_summary(self, old: tuple[int, str, bytes, bytes], new: tuple[bytes, bytes]) -> int:
        """Write a summary anew that is still the one that was read: 1, else 0."""
        number, _, text, until = old
        with self._writing() as db:
            return db.execute(
                "UPDATE conversations SET summary = ?, until = ? "
                "WHERE id = ? AND summary = ? AND until = ?",
                (*new, number, text, until),
            ).rowcount

    def check(self) -> None:
        """Raise where nothing could be written now."""
        with self._writing() as db:
            db.execute("UPDATE conversations SET written_ms = written_ms WHERE id = -1")

    def close(self) -> None:
        """Close the file. Safe to repeat; the next use opens it again."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _write_one(self, db: sqlite3.Connection, one: Leaving, now_ms: int) -> None:
        keys, part = one.keys, one.part
        named = (keys.history, part.generation, keys.agent_id, keys.session_id)
        row = (*named, now_ms, part.text, part.until)
        (conversation,) = db.execute(CONVERSATION, row).fetchone()
        places = enumerate(part.records, start=part.first)
        db.executemany(MESSAGE, ((conversation, place, record) for place, record in places))
        if part.is_all:
            # Written before the session was used again, and shorter since.
            end = part.first + len(part.records)
            db.execute(
                "DELETE FROM messages WHERE conversation = ? AND place >= ?", (conversation, end)
            )
        db.executemany(
            "INSERT OR IGNORE INTO users (user, conversation) VALUES (?, ?)",
            [(user, conversation) for user in one.users],
        )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._opened()
            except sqlite3.Error as exc:
                raise ArchiveUnavailable(f"the archive {self.path} cannot be read: {exc}") from exc

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                db = self._opened()
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
            except sqlite3.Error as exc:
                raise ArchiveUnavailable(
                    f"the archive {self.path} cannot be written: {exc}"
                ) from exc

    def _opened(self) -> sqlite3.Connection:
        if self._open is None:
            try:
                # People's words: for nobody else on this machine.
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as exc:
                why = f"the archive {self.path} cannot be opened: {exc.strerror}"
                raise ArchiveUnavailable(why) from exc
            db = sqlite3.connect(
                self.path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
            )
            # What has left Redis must not be lost with the power either.
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            db.executescript(SCHEMA)
            self._open = db
        return self._open

"""The archive as a SQLite file, which several processes of one machine may use at once."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from memory.archive.sql import SCHEMA
from memory.archive.store import Archive, Statements
from memory.errors import ArchiveUnavailable

SCHEME = "sqlite:///"
PATIENCE_S = 10.0
"""How long one process waits for another one that writes."""
TYPES = {
    "number": "INTEGER",
    "counted": "AUTOINCREMENT",
    "bytes": "BLOB",
    "by_key": " WITHOUT ROWID",
}


class ArchiveFile(Archive):
    """The archive at a path; opened, and made, by its first use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    @classmethod
    def at(cls, url: str) -> Self:
        """The archive at `sqlite:///<path>`."""
        return cls(Path(unquote(url.removeprefix(SCHEME))))

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def _size(self) -> str:
        return "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"

    def close(self) -> None:
        """Close the file. Safe to repeat; the next use opens it again."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    @contextmanager
    def _reading(self) -> Iterator[Statements]:
        with self._lock:
            try:
                yield self._opened()
            except sqlite3.Error as exc:
                raise ArchiveUnavailable(f"the archive {self.path} cannot be read: {exc}") from exc

    @contextmanager
    def _writing(self) -> Iterator[Statements]:
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
            db.executescript(SCHEMA.format_map(TYPES))
            self._open = db
        return self._open

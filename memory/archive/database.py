"""The archive in a PostgreSQL database, for processes of several machines. It needs
`griot[archive]`, which nothing else does: memory.archive.opening loads this by need.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, CursorResult, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from memory.archive.sql import SCHEMA
from memory.archive.store import Archive, Statements
from memory.errors import ArchiveUnavailable

TABLES = "griot_archive"
"""The schema of its own in which the tables lie: the database may have others."""
PATIENCE_MS = 10_000
"""How long a connection, or another one that writes, is waited for."""
TYPES = {
    "number": "BIGINT",
    "counted": "GENERATED ALWAYS AS IDENTITY",
    "bytes": "BYTEA",
    "by_key": "",
}


ESCAPE = "\ufdd0"
"""A character that Unicode keeps free, before what stands for another one."""


@dataclass(frozen=True, slots=True)
class _Result:
    result: CursorResult[object]

    @property
    def rowcount(self) -> int:
        return self.result.rowcount

    def fetchall(self) -> list[tuple[object, ...]]:
        return [tuple(map(_read, row)) for row in self.result.fetchall()]


@dataclass(frozen=True, slots=True)
class _Transaction:
    connection: Connection

    def execute(self, statement: str, values: Mapping[str, object], /) -> _Result:
        return _Result(self.connection.execute(text(statement), _written(values)))

    def executemany(self, statement: str, values: Sequence[Mapping[str, object]], /) -> object:
        return self.connection.execute(text(statement), [_written(one) for one in values])


def _written(values: Mapping[str, object]) -> dict[str, object]:
    """Values as PostgreSQL takes them: a text of it holds no NUL, and the id of an agent, a session
    or a user may."""
    return {
        name: value.replace(ESCAPE, ESCAPE * 2).replace("\0", f"{ESCAPE}0")
        if isinstance(value, str)
        else value
        for name, value in values.items()
    }


def _read(value: object) -> object:
    if not isinstance(value, str) or ESCAPE not in value:
        return value
    return re.sub(f"{ESCAPE}(.)", lambda found: "\0" if found[1] == "0" else found[1], value)


class ArchiveDatabase(Archive):
    """The archive at `postgresql://user:password@host:port/database`; its tables are made by its
    first use."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._lock = threading.Lock()
        self._made: Engine | None = None

    @property
    def name(self) -> str:
        """Where it is, without user, password and options."""
        port = f":{self._url.port}" if self._url.port else ""
        return f"postgresql://{self._url.host}{port}/{self._url.database or ''}"

    @property
    def _size(self) -> str:
        tables = ("conversations", "messages", "users")
        return "SELECT " + " + ".join(f"pg_total_relation_size('{one}')" for one in tables)

    def close(self) -> None:
        """Close all connections. Safe to repeat; the next use opens others."""
        with self._lock:
            if self._made is not None:
                self._made.dispose()
                self._made = None

    @contextmanager
    def _reading(self) -> Iterator[Statements]:
        with self._told("read"), self._engine().begin() as connection:
            yield _Transaction(connection)

    @contextmanager
    def _writing(self) -> Iterator[Statements]:
        with self._told("written"), self._engine().begin() as connection:
            # What has left Redis must not be lost with the power, whatever the server's default.
            connection.execute(text("SET LOCAL synchronous_commit = on"))
            # As in a file: who forgets a session waits for who is writing it.
            connection.execute(text("LOCK TABLE conversations IN SHARE ROW EXCLUSIVE MODE"))
            yield _Transaction(connection)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as exc:
            # The first line of what the server says: the others may quote what was written.
            cause = exc.orig if isinstance(exc, DBAPIError) else exc
            why = (str(cause).splitlines() or [type(exc).__name__])[0]
            raise ArchiveUnavailable(f"the archive {self.name} cannot be {what}: {why}") from None

    def _engine(self) -> Engine:
        with self._lock:
            if self._made is None:
                engine = create_engine(
                    self._url,
                    hide_parameters=True,
                    pool_pre_ping=True,
                    connect_args={
                        "connect_timeout": PATIENCE_MS // 1000,
                        "tcp_user_timeout": PATIENCE_MS,
                        "options": f"-c search_path={TABLES} -c lock_timeout={PATIENCE_MS}",
                    },
                )
                _make_tables(engine)
                self._made = engine
            return self._made


def _make_tables(engine: Engine) -> None:
    with engine.begin() as connection:
        # One process makes them; who may not make any uses those that are there.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": TABLES})
        index = f"{TABLES}.users_of"
        is_there = text("SELECT to_regclass(:index) IS NOT NULL")
        if connection.execute(is_there, {"index": index}).scalar():
            return
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {TABLES}"))
        for statement in SCHEMA.format_map(TYPES).split(";"):
            if statement.strip():
                connection.execute(text(statement))

"""An archive of each kind, and a session service beside it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from redis import Redis

from memory import Keyspace, RedisMemoryService
from memory.archive.archiver import Archiver
from memory.archive.database import TABLES
from memory.archive.opening import archive_at
from memory.archive.store import Archive
from memory.settings import MemorySettings
from tests.support.archive.sessions import STAY
from tests.support.memory_fixtures import Backend
from tests.support.servers.postgres import PostgresServer, found_programs


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A database, where the machine has one."""
    if (programs := found_programs()) is None:
        pytest.skip("no PostgreSQL on the PATH: apt-get install postgresql")
    with PostgresServer(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty archive, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'a.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    yield server.url
    with psycopg.connect(server.url) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {TABLES} CASCADE")


@pytest.fixture
def settings(memory_settings: MemorySettings, address: str) -> MemorySettings:
    """Those of a deployment with an archive."""
    return memory_settings.model_copy(update={"archive_url": SecretStr(address)})


@pytest.fixture
def service(settings: MemorySettings, real_backend: Backend) -> RedisMemoryService:
    """The documented service beside an archive."""
    return RedisMemoryService(settings=settings, connection=real_backend.connection)


@pytest.fixture
def keyspace(settings: MemorySettings) -> Keyspace:
    """The names of this test's keys."""
    return settings.keyspace


@pytest.fixture
def file(address: str) -> Iterator[Archive]:
    """The archive."""
    made = archive_at(SecretStr(address))
    yield made
    made.close()


@pytest.fixture
def archiver(real_backend: Backend, keyspace: Keyspace, file: Archive) -> Archiver:
    """What the maintenance worker runs."""
    return Archiver(real_backend.connection, keyspace, file, STAY)


@pytest.fixture
def observer(real_backend: Backend) -> "Redis[bytes]":
    """Somebody who looks on, and lets time go by."""
    return real_backend.observer

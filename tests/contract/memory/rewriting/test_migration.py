"""The versions of all records, and those that are too old: brought to the next while jobs go on."""

from collections.abc import Iterator

import orjson
import pytest

from memory.records import history
from memory.redis.connection import Connection
from memory.upkeep.migration import EVENT, FIRST, STEPS, Migration, Steps, version_in
from memory.upkeep.rewriting import Rewriting
from tests.support.encryption import fill, keyspace_of, texts
from tests.support.memory_fixtures import Backend

JOB, NEXT = ("job", FIRST), ("job", FIRST + 1)


@pytest.fixture
def connection(real_backend: Backend) -> Connection:
    """A connection to a real server."""
    return real_backend.connection


@pytest.fixture
def prefix(real_backend: Backend) -> str:
    """What the keys of a test begin with."""
    return real_backend.prefix


def last_of(run: Iterator[Rewriting]) -> Rewriting:
    """The end of a run."""
    *_, last = run
    return last


def with_version(packed: bytes) -> bytes:
    """What a release would bring that reads the first version no more."""
    return orjson.dumps({**orjson.loads(packed), "v": FIRST + 1})


def shouted(packed: bytes) -> bytes:
    """Another one, of messages."""
    return packed.replace(b"content", b"CONTENT")


UPGRADE: Steps = {JOB: with_version, (EVENT, FIRST): with_version}
KEYS = [(), ("k1",)]


@pytest.mark.parametrize("keys", KEYS, ids=["plain", "encrypted"])
def test_this_release_has_nothing_to_write_again(
    connection: Connection, prefix: str, keys: tuple[str, ...]
) -> None:
    """It counts what there is, and leaves it as it is."""
    box = fill(connection, keyspace_of(prefix, *keys))
    before = texts(connection, box.keyspace)
    migration = Migration()
    done = last_of(migration.run(connection, box.keyspace))
    assert (done.written, done.is_done, migration.old, STEPS) == (0, True, 0, {})
    assert {kind for kind, _ in migration.versions} >= {"job", "event", "message", "value"}
    assert {version for _, version in migration.versions} == {FIRST}
    assert texts(connection, box.keyspace) == before


@pytest.mark.parametrize("keys", KEYS, ids=["plain", "encrypted"])
def test_what_has_a_step_is_written_again_once(
    connection: Connection, prefix: str, keys: tuple[str, ...]
) -> None:
    """A dry run only counts it; a second run finds it done."""
    box = fill(connection, keyspace_of(prefix, *keys))
    dry = Migration(UPGRADE, is_dry=True)
    assert last_of(dry.run(connection, box.keyspace)).written == 0
    assert dry.old > dry.versions[JOB] > 0
    real = Migration(UPGRADE)
    done = last_of(real.run(connection, box.keyspace))
    assert done.is_done
    # Several jobs that were merged are several records in one field.
    assert 0 < done.written < dry.old == real.old
    again = Migration(UPGRADE)
    assert last_of(again.run(connection, box.keyspace)).written == 0
    assert (again.versions[JOB], again.versions[NEXT]) == (0, dry.versions[JOB])


def test_a_run_that_is_stopped_is_gone_on_with(connection: Connection, prefix: str) -> None:
    """What it has written stays, and the next run does the rest."""
    keyspace = keyspace_of(prefix, "k1")
    fill(connection, keyspace)
    whole = Migration(UPGRADE, is_dry=True)
    last_of(whole.run(connection, keyspace))
    # Stopped behind its first page.
    stopped = Migration(UPGRADE).run(connection, keyspace)
    written = next(stopped).written
    stopped.close()  # type: ignore[attr-defined]  # a generator
    rest = Migration(UPGRADE)
    rested = last_of(rest.run(connection, keyspace))
    assert rested.is_done
    assert (written > 0) == (rest.old < whole.old)
    assert last_of(Migration(UPGRADE).run(connection, keyspace)).written == 0


def test_messages_keep_their_keys(connection: Connection, prefix: str) -> None:
    """They are encrypted as before."""
    box = fill(connection, keyspace_of(prefix, "k1"))
    before = connection.run(history.stored(box.keys, at_most=100))
    done = last_of(Migration({("message", FIRST): shouted}).run(connection, box.keyspace))
    found = connection.run(history.stored(box.keys, at_most=100))
    assert done.written == len(before) > 0
    assert all(one.startswith(b"\x1e1:k1:") for one in found)
    assert b"CONTENT" in history.decrypted(box.keys, found)[0]


@pytest.mark.parametrize(
    ("packed", "version"),
    [(b'{"v":2}', 2), (b"{}", 1), (b'{"v":"2"}', 1), (b'{"v":-4}', 1), (b"no JSON", 1), (b"[]", 1)],
)
def test_a_version_is_a_number_over_one(packed: bytes, version: int) -> None:
    """Anything else is of another program."""
    assert version_in(packed) == version

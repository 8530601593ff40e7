"""Other keys for what lies in Redis: everything can be read before, meanwhile and afterwards."""

import threading
import uuid
from collections.abc import Iterator

import pytest

from memory import Keyspace, Mailbox, events, prove_keys
from memory.encryption.keyring import Keyring
from memory.records import history
from memory.records.swap import Swap, swap_elements, swap_fields, swap_stream, swap_value
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import integer, pairs, strings
from memory.upkeep.key_check import forget_other_keys
from memory.upkeep.reencryption import reencrypt
from memory.upkeep.rewriting import Rewriting
from tests.support.encryption import (
    CANARY,
    acquire,
    commit,
    fill,
    key_of,
    keyspace_of,
    take_in,
    texts,
)
from tests.support.machine import scaled
from tests.support.memory_fixtures import Backend

ORDERS = [("k1",), ("k2", "k1"), ("plain", "k1", "k2")]
TURNS = 30


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


def stored(connection: Connection, prefix: str) -> bytes:
    """All values of the keys of a prefix, one behind the other, as a client gets them."""
    names = connection.run(Command(lambda reply: reply, ("KEYS", f"{prefix}:*")))
    assert isinstance(names, list)
    reads = {
        b"string": lambda name: ("GET", name),
        b"list": lambda name: ("LRANGE", name, 0, -1),
        b"hash": lambda name: ("HGETALL", name),
        b"stream": lambda name: ("XRANGE", name, "-", "+"),
    }
    found = []
    for name in names:
        kind = connection.run(Command(lambda reply: reply, ("TYPE", name)))
        if read := reads.get(kind):  # type: ignore[call-overload]
            found.append(str(connection.run(Command(lambda reply: reply, read(name)))))
    return " ".join(found).encode()


def test_plain_records_are_encrypted_then_change_keys_then_are_plain_again(
    connection: Connection, prefix: str
) -> None:
    """Each step leaves the same words, TTLs and cursors, and nothing of the key before."""
    box = fill(connection, keyspace_of(prefix))
    before = texts(connection, box.keyspace)
    ttl = Command(lambda reply: reply, ("PTTL", box.keys.events))
    left_ms = connection.run(ttl)
    for elements in ORDERS:
        keyspace = keyspace_of(prefix, *elements)
        done = last_of(reencrypt(connection, keyspace))
        assert done.is_done, done
        assert done.written > 10
        assert texts(connection, keyspace) == before
        assert last_of(reencrypt(connection, keyspace)).written == 0, "nothing is left to do"
        found = stored(connection, prefix)
        assert (CANARY.encode() in found) == (elements[0] == "plain")
        ids = {one for one in ("k1", "k2") if f"1:{one}:".encode() in found}
        assert ids == {elements[0]} - {"plain"}
        # Who has the first key only needs no other any more.
        alone = keyspace_of(prefix, *({elements[0]} - {"plain"}))
        assert texts(connection, alone) == before
    assert texts(connection, box.keyspace) == before
    now_ms = connection.run(ttl)
    assert isinstance(left_ms, int)
    assert isinstance(now_ms, int)
    assert 0 < now_ms <= left_ms


def test_records_that_do_not_decrypt_stay_and_are_counted(
    connection: Connection, prefix: str
) -> None:
    """The run does the rest, and does not say that it is done."""
    box = fill(connection, keyspace_of(prefix, "k1"))
    done = last_of(reencrypt(connection, keyspace_of(prefix, "k2")))
    assert not done.is_done
    assert done.unreadable
    assert all("'k1'" in one for one in done.reasons)
    assert texts(connection, box.keyspace)["history"]


class DyingConnection(Connection):
    """Dies at one of its commands."""

    lives = 0

    def run(self, command):  # type: ignore[no-untyped-def]  # as of Connection
        """The result of one call, or the end."""
        self.lives -= 1
        if self.lives < 0:
            raise KeyboardInterrupt
        return super().run(command)


@pytest.mark.parametrize("lives", range(1, 18, 3))
def test_a_run_that_dies_leaves_what_all_can_read(
    lives: int, real_backend: Backend, connection: Connection, prefix: str
) -> None:
    """Some records have the old key, some the new one; the next run does the rest."""
    box = fill(connection, keyspace_of(prefix, "k1"))
    before = texts(connection, box.keyspace)
    both = keyspace_of(prefix, "k2", "k1")
    dying = DyingConnection(real_backend.settings)
    dying.lives = lives
    with pytest.raises(KeyboardInterrupt):
        last_of(reencrypt(dying, both))
    dying.close()
    assert texts(connection, both) == before
    assert last_of(reencrypt(connection, both)).is_done
    assert texts(connection, keyspace_of(prefix, "k2")) == before


def test_jobs_go_on_meanwhile(real_backend: Backend, connection: Connection, prefix: str) -> None:
    """Writers with either key first; no message is lost, doubled or out of order."""
    both = (keyspace_of(prefix, "k1", "k2"), keyspace_of(prefix, "k2", "k1"))
    failures: list[BaseException] = []

    def write(session_id: str, keyspaces: tuple[Keyspace, ...]) -> None:
        own = Connection(real_backend.settings)
        try:
            for turn in range(TURNS):
                answer(
                    own, Mailbox.of(keyspaces[turn % 2], "a", session_id), f"{session_id}-{turn}"
                )
        except BaseException as exc:
            failures.append(exc)
        finally:
            own.close()

    writers = [threading.Thread(target=write, args=(f"s{n}", both)) for n in range(2)]
    for one in writers:
        one.start()
    runs = 0
    while any(one.is_alive() for one in writers):
        last_of(reencrypt(connection, both[runs % 2]))
        runs += 1
    for one in writers:
        one.join(scaled(10))
    assert not failures
    assert runs > 1
    assert last_of(reencrypt(connection, both[1])).is_done
    for session_id in ("s0", "s1"):
        keys = keyspace_of(prefix, "k2").session("a", session_id)
        found = connection.run(history.read(keys, at_most=1000)).messages
        assert [one["job_id"] for one in found] == [f"{session_id}-{turn}" for turn in range(TURNS)]
        told = connection.run(events.read(keys, events.FROM_START, block_ms=1))
        done = [one.job_id for one in told if one.type == "done"]
        assert done == [f"{session_id}-{turn}" for turn in range(TURNS)]


def answer(connection: Connection, box: Mailbox, job: str) -> None:
    """Send one job and answer it."""
    token = uuid.uuid4().hex
    take_in(connection, box, job)
    acquire(connection, box, job, token)
    commit(connection, box, job, token)


def test_elements_are_found_where_they_lie_now(connection: Connection, prefix: str) -> None:
    """Some were trimmed since they were read, one was written anew, some came."""
    key = f"{prefix}:history:a:swapped"
    push = ("RPUSH", key, *[f"old-{n}" for n in range(9)])
    connection.run_all(
        Command(bool, push),
        Command(bool, ("LTRIM", key, 2, -1)),
        Command(bool, ("LSET", key, 1, "x")),
    )
    connection.run_all(Command(bool, ("RPUSH", key, "came")), Command(bool, ("EXPIRE", key, 60)))
    swaps = [Swap(n, b"old-%d" % n, b"new-%d" % n) for n in range(9)]
    assert connection.run(swap_elements(key, swaps)) == 6
    found = connection.run(Command(strings, ("LRANGE", key, 0, -1)))
    assert found == [b"new-2", b"x", *[b"new-%d" % n for n in range(4, 9)], b"came"]


def test_what_was_written_meanwhile_is_not_written_over(
    connection: Connection, prefix: str
) -> None:
    """Neither a field, nor a value, nor a stream; and TTLs stay."""
    keys = Keyspace(prefix).session("a", "swapped")
    value = Keyspace(prefix).state("a")
    connection.run_each(
        [
            Command(bool, ("HSET", keys.jobs, "same", "old", "changed", "new", "gone", "old")),
            Command(bool, ("HDEL", keys.jobs, "gone")),
            Command(bool, ("PEXPIRE", keys.jobs, 60_000)),
            Command(bool, ("SET", value, "new", "PX", 60_000)),
            Command(bool, ("XADD", keys.events, "1-0", "event", "old")),
            Command(bool, ("XADD", keys.events, "2-0", "event", "new")),
            Command(bool, ("PEXPIRE", keys.events, 60_000)),
        ]
    )
    swaps = [Swap(one, b"old", b"ours") for one in (b"same", b"changed", b"gone")]
    assert connection.run(swap_fields(keys.jobs, swaps)) == 1
    found = connection.run(Command(pairs, ("HGETALL", keys.jobs)))
    assert dict(found) == {b"same": b"ours", b"changed": b"new"}
    assert connection.run(swap_value(value, b"old", b"ours")) == 0
    assert connection.run(swap_value(value, b"new", b"ours")) == 1
    first, second = (b"1-0", [b"event", b"ours"]), (b"2-0", [b"event", b"ours"])
    assert connection.run(swap_stream(keys.events, [first])) == 0
    assert connection.run(swap_stream(keys.events, [first, second])) == 2
    for key in (keys.jobs, value, keys.events):
        assert 0 < connection.run(Command(integer, ("PTTL", key))) <= 60_000


def test_a_process_with_another_key_of_the_same_id_is_found_out(
    connection: Connection, prefix: str
) -> None:
    """Before it has written what nobody else can read."""
    assert not prove_keys(connection, keyspace_of(prefix, "k1"))
    assert not prove_keys(connection, keyspace_of(prefix, "k2", "k1"))
    assert {one.key_id for one in prove_keys(connection, keyspace_of(prefix))} == {"k1", "k2"}
    (other,) = prove_keys(connection, keyspace_of(prefix, "k1"))
    assert (other.key_id, other.is_known) == ("k2", False)
    forget_other_keys(connection, keyspace_of(prefix, "k2", "k1"))
    assert not prove_keys(connection, keyspace_of(prefix, "k2"))
    (other,) = prove_keys(connection, another_key(prefix, "k2"))
    assert other.is_known


def test_what_a_newer_griot_left_proves_nothing_about_keys(
    connection: Connection, prefix: str
) -> None:
    """An older process starts beside it."""
    keyspace = keyspace_of(prefix, "k1")
    newer = ("HSET", keyspace.encryption_keys, "k9", b"\x1e7:words")
    connection.run(Command(integer, newer))
    assert not prove_keys(connection, keyspace)


def another_key(prefix: str, key_id: str) -> Keyspace:
    """A keyspace with an id that others know, and other bytes."""
    keyring = Keyring.parse(key_of("else").replace("else:", f"{key_id}:"))
    return Keyspace(prefix, keyring=keyring)

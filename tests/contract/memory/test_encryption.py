"""Encryption at rest on a real server: no word can be read there, nor moved to another session."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from memory import (
    CannotDecrypt,
    Keyspace,
    Mailbox,
    MergedEnvelope,
    dead_letters,
    decrypted_envelope,
    events,
    outbox,
    summary,
)
from memory.keys import SessionKeys
from memory.records import history, values
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.redis.replies import integer, nothing, pairs
from memory.settings import MemorySettings
from memory.upkeep.transfer import exported, restore
from memory.upkeep.transfer_file import as_lines, read, renamed
from sandbox.valkey import ValkeyServer
from tests.support.encryption import (
    CANARY,
    GRACE_MS,
    append_only_file,
    envelope_of,
    everything,
    fill,
    keyspace_of,
    texts,
)

KINDS = ["history", "jobs", "callbacks", "dead", "events", "summary"]


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server that writes all to a file, and compresses nothing that it dumps."""
    options = {"rdbcompression": "no"}
    with ValkeyServer(append_only="always", options=options) as started:
        yield started


@pytest.fixture
def connection(server: ValkeyServer) -> Iterator[Connection]:
    """A connection to it."""
    made = Connection(MemorySettings(url=server.url()))
    yield made
    made.close()


@pytest.fixture
def prefix() -> str:
    """What the keys of a test begin with."""
    return f"test{uuid.uuid4().hex}"


def clear_words(connection: Connection, prefix: str) -> int:
    """How many keys hold a word that anybody can read."""
    return sum(CANARY.encode() in one for one in everything(connection, prefix))


def test_no_word_lies_in_redis(connection: Connection, server: ValkeyServer, prefix: str) -> None:
    """Neither in what is there, nor in what the server has written to its disk meanwhile."""
    before = len(append_only_file(server.data_dir))
    fill(connection, keyspace_of(prefix, "k1"))
    assert clear_words(connection, prefix) == 0
    written = append_only_file(server.data_dir)[before:]
    assert prefix.encode() in written
    assert CANARY.encode() not in written


def test_without_keys_each_of_these_keys_has_words(connection: Connection, prefix: str) -> None:
    """So that the test before looks at the right places."""
    box = fill(connection, keyspace_of(f"{prefix}-plain"))
    shown = [getattr(box.keys, kind) for kind in (*KINDS, "outbox")]
    for key in shown:
        dumped = connection.run(Command(lambda reply: reply, ("DUMP", key)))
        assert isinstance(dumped, bytes)
        assert CANARY.encode() in dumped, key


def test_readers_get_the_same_words(connection: Connection, prefix: str) -> None:
    """History, events, summary, state and data; ends, dead letters and merged jobs."""
    box = fill(connection, keyspace_of(prefix, "k1"))
    found = texts(connection, box.keyspace)
    assert str(found).count(CANARY) > 6
    (letter,) = connection.run(dead_letters.letters(box)).letters
    assert (letter.reason, [one.error for one in letter.failures]) == (
        f"{CANARY} 2",
        [f"{CANARY} 1"],
    )
    assert decrypted_envelope(box.keys, "dead", letter.envelope) == envelope_of("dead")
    ends = {one.job_id: one for one in taken(connection, box).ends}
    assert ends["done"].event.text == f"{CANARY} reply"
    assert ends["dead"].event.data == {"error": f"{CANARY} 2"}
    assert ends["dead"].callbacks == b'{"job":"dead","options":{"link":"%s"}}\n' % CANARY.encode()
    carried = MergedEnvelope.parse(
        decrypted_envelope(box.keys, "merging", stored_jobs(connection, box)["merging"])
    )
    assert carried.envelope == envelope_of("merging")
    assert [(one.job_id, one.envelope) for one in carried.merged] == [
        ("merged", envelope_of("merged"))
    ]


def taken(connection: Connection, box: Mailbox) -> outbox.TakenEnds:
    """The ends that anybody may deliver once their owners had their time."""
    found = connection.run(Command(pairs, ("HGETALL", box.keys.outbox)))
    for job, stored in found:
        free = b" ".join([b"0", *stored.split(b" ", 1)[1:]])
        connection.run(Command(nothing, ("HSET", box.keys.outbox, job, free)))
    return connection.run(outbox.take(box.keys, owner="me", claim_ms=1))


def stored_jobs(connection: Connection, box: Mailbox) -> dict[str, bytes]:
    """The envelopes of a mailbox as they lie there."""
    found = connection.run(Command(pairs, ("HGETALL", box.keys.jobs)))
    return {job.decode(): stored for job, stored in found}


def test_a_dead_letter_that_is_sent_again_can_be_read_under_its_new_id(
    connection: Connection, prefix: str
) -> None:
    """Its envelope is about another job then."""
    box = fill(connection, keyspace_of(prefix, "k1"))
    (letter,) = connection.run(dead_letters.letters(box)).letters
    intake = dead_letters.requeued(box.keys, letter, cap=100)
    connection.run_last(*box.take_in(intake, grace_ms=GRACE_MS))
    stored = stored_jobs(connection, box)["dead~r1"]
    assert stored.startswith(b"\x1e1:k1:")
    assert decrypted_envelope(box.keys, "dead~r1", stored) == envelope_of("dead")


READERS: dict[str, Callable[[SessionKeys, Keyspace], Command[object]]] = {
    "history": lambda keys, _: history.read(keys, at_most=100),
    "events": lambda keys, _: events.read(keys, events.FROM_START, block_ms=1),
    "summary": lambda keys, _: summary.read(keys),
    "outbox": lambda keys, _: outbox.end_of(keys, "done"),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_record_does_not_decrypt_in_another_session(
    kind: str, connection: Connection, prefix: str
) -> None:
    """Who may write to Redis cannot have one person's words read to another."""
    keyspace = keyspace_of(prefix, "k1")
    box, other = fill(connection, keyspace), keyspace.session("a", "other")
    copy = ("COPY", getattr(box.keys, kind), getattr(other, kind))
    connection.run(Command(integer, copy))
    with pytest.raises(CannotDecrypt, match=r"a:other.*'k1'.*changed or moved"):
        connection.run(READERS[kind](other, keyspace))
    assert connection.run(READERS[kind](box.keys, keyspace))


def test_a_job_does_not_decrypt_as_another_one(connection: Connection, prefix: str) -> None:
    """Nor in another session."""
    box = fill(connection, keyspace_of(prefix, "k1"))
    stored = stored_jobs(connection, box)["waits"]
    assert decrypted_envelope(box.keys, "waits", stored) == envelope_of("waits")
    with pytest.raises(CannotDecrypt):
        decrypted_envelope(box.keys, "merging", stored)
    with pytest.raises(CannotDecrypt):
        decrypted_envelope(box.keyspace.session("a", "other"), "waits", stored)


def test_what_does_not_decrypt_stays_where_it_is(connection: Connection, prefix: str) -> None:
    """Without the key nobody takes it for damage; the error names setting and key."""
    fill(connection, keyspace_of(prefix, "k1"))
    box = Mailbox.of(keyspace_of(prefix, "k2"), "a", "s")
    before = sorted(everything(connection, prefix))
    for read_it in READERS.values():
        with pytest.raises(CannotDecrypt, match=r"'k1', which is not in GRIOT_ENCRYPTION_KEYS"):
            connection.run(read_it(box.keys, box.keyspace))
    with pytest.raises(CannotDecrypt):
        connection.run(values.load(box.keyspace, box.keyspace.session_data("s", "k")))
    (letter,) = connection.run(dead_letters.letters(box)).letters
    assert "'k1', which is not in GRIOT_ENCRYPTION_KEYS" in letter.reason
    with pytest.raises(CannotDecrypt):
        dead_letters.requeued(box.keys, letter, cap=9)
    with pytest.raises(CannotDecrypt):
        list(exported(connection, box.keyspace, "a", "s"))
    connection.run(Command(integer, ("DEL", box.keyspace.audit)))
    assert sorted(everything(connection, prefix)) == before
    found = taken(connection, box)
    assert [one.job_id for one in found.ends] == ["merged"], "its end has no words"
    assert not found.corrupt
    assert (len(found.unreadable), found.left) == (2, 2)


def test_a_session_is_exported_and_imported_under_another_name(
    connection: Connection, prefix: str
) -> None:
    """The file is plain; what comes back is encrypted as the new session's."""
    box = fill(connection, keyspace_of(prefix, "k1"))
    lines = list(as_lines(exported(connection, box.keyspace, "a", "s")))
    assert sum(CANARY.encode() in line for line in lines) > 5
    transfer = renamed(read(lines, most_messages=99, max_bytes=10_000), None, "s2")
    restore(connection, box.keyspace, transfer, default_ttl_s=60)
    before, after = (texts(connection, box.keyspace, one) for one in ("s", "s2"))
    assert before["history"] == after["history"]
    assert before["summary"] == after["summary"]
    assert clear_words(connection, prefix) == 0

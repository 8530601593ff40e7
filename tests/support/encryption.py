"""Keys for tests of encryption at rest, and a session in which each kind of record has words."""

import base64
import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from memory import (
    AcquireOutcome,
    CommitOutcome,
    Ending,
    EnqueueOutcome,
    Event,
    EventType,
    Intake,
    Keyspace,
    Mailbox,
    OnBusy,
    events,
    summary,
)
from memory.encryption.keyring import Keyring
from memory.mailbox.mailbox import Mailbox as Box
from memory.records import history, values
from memory.records.event import packed
from memory.redis.command import Command
from memory.redis.connection import Connection
from tests.support.mailbox.rig import request_of

CANARY = "canary-5b1d"
TTL_S, GRACE_MS = 3600, 60_000


def key_of(key_id: str) -> str:
    """An element of GRIOT_ENCRYPTION_KEYS, always the same for an id."""
    return f"{key_id}:{base64.b64encode(hashlib.sha256(key_id.encode()).digest()).decode()}"


def keyring_of(*elements: str) -> Keyring:
    """The keyring with these ids; `plain` stands for itself."""
    return Keyring.parse(",".join(one if one == "plain" else key_of(one) for one in elements))


def keyspace_of(prefix: str, *elements: str) -> Keyspace:
    """A keyspace with these keys; without any it is plain."""
    return Keyspace(prefix, keyring=keyring_of(*elements)) if elements else Keyspace(prefix)


def envelope_of(job: str) -> bytes:
    """An envelope with words; the mailbox does not look into it."""
    return b'{"message":"%s of %s"}' % (CANARY.encode(), job.encode())


def take_in(connection: Connection, box: Box, job: str, on_busy: OnBusy = OnBusy.ENQUEUE) -> None:
    """Send a job with callbacks."""
    line = b'{"job":"%s","options":{"link":"%s"}}\n' % (job.encode(), CANARY.encode())
    intake = Intake(
        job, envelope_of(job), 100, on_busy, request_of(job), 10_000, TTL_S, callbacks=line
    )
    enqueued = connection.run_last(*box.take_in(intake, grace_ms=GRACE_MS))
    assert enqueued.outcome is EnqueueOutcome.NEW, enqueued


def acquire(connection: Connection, box: Box, job: str, token: str) -> None:
    """Begin an attempt at a job."""
    asked = box.acquire(
        job,
        token,
        lease_ms=30_000,
        history_n=20,
        max_attempts=9,
        ttl_s=TTL_S,
        grace_ms=GRACE_MS,
    )
    acquired = connection.run_last(*asked)
    assert acquired.outcome is AcquireOutcome.RUN, acquired


def commit(connection: Connection, box: Box, job: str, token: str) -> None:
    """Answer a job whose attempt has begun."""
    last = Event(EventType.DONE, job, 1, f"{CANARY} reply", {"model": CANARY})
    records = [b'{"role":"user","content":"%s","job_id":"%s"}' % (CANARY.encode(), job.encode())]
    asked = box.commit(
        token,
        job,
        records,
        event=packed(last, box.keys.cipher),
        keep=100,
        ttl_s=TTL_S,
        grace_ms=GRACE_MS,
    )
    committed = connection.run_last(*asked)
    assert committed.outcome is CommitOutcome.OK, committed


def fill(connection: Connection, keyspace: Keyspace, session_id: str = "s") -> Mailbox:
    """Write words into each kind of record of a session of agent `a`."""
    box = Mailbox.of(keyspace, "a", session_id)
    keys, run = box.keys, connection.run
    take_in(connection, box, "done")
    acquire(connection, box, "done", "t1")
    said = [Event(EventType.TOKEN, "done", 1, CANARY), Event(EventType.STARTED, "done", 1)]
    run(events.publish(keys, said, ttl_s=TTL_S, token="t1", number=1))  # noqa: S106 - a lease's
    commit(connection, box, "done", "t1")
    take_in(connection, box, "dead")
    acquire(connection, box, "dead", "t2")
    for command in box.fail("t2", delay_ms=0, refund=False, grace_ms=1, error=f"{CANARY} 1"):
        run(command)
    acquire(connection, box, "dead", "t3")
    buried = {"owner": "o", "ending": Ending.DEAD, "ttl_s": TTL_S, "grace_ms": GRACE_MS}
    connection.run_last(*box.discard("dead", f"{CANARY} 2", "t3", **buried))  # type: ignore[arg-type]
    take_in(connection, box, "merged")
    take_in(connection, box, "merging", OnBusy.MERGE)
    take_in(connection, box, "waits")
    record = b'{"role":"user","content":"%s"}' % CANARY.encode()
    run(
        history.append(
            keys, [record], write_id=uuid.uuid4().bytes, keep=100, ttl_s=TTL_S, is_exact=False
        )
    )
    run(summary.claim(keys, b"c")[0])
    found = summary.Earlier(b"c", run(summary.revision(keys)), None, ())
    assert run(summary.keep(keys, found, summary.Summary(f"{CANARY} sum", summary.name_of(record))))
    value = b'"%s"' % CANARY.encode()
    for at, is_own in ((keyspace.state("a"), False), (keyspace.session_data("s", "k"), True)):
        run(values.save(keyspace, at, value, ttl_s=TTL_S, is_own=is_own))
    return box


def texts(connection: Connection, keyspace: Keyspace, session_id: str = "s") -> dict[str, object]:
    """All words of the session that `fill` has made, as readers get them."""
    box = Mailbox.of(keyspace, "a", session_id)
    keys, run = box.keys, connection.run
    from_start = events.read(keys, events.FROM_START, block_ms=1)
    return {
        "history": run(history.read(keys, at_most=100)).messages,
        "events": [(one.type, one.text, one.data, one.cursor) for one in run(from_start)],
        "summary": run(summary.read(keys)),
        "state": run(values.load(keyspace, keyspace.state("a"))),
        "data": run(values.load(keyspace, keyspace.session_data("s", "k"))),
    }


def everything(connection: Connection, prefix: str) -> Iterator[bytes]:
    """Each key of a prefix as the server would write it to its disk; ask a server that does not
    compress."""
    names = connection.run(Command(lambda reply: reply, ("KEYS", f"{prefix}:*")))
    assert isinstance(names, list)
    for name in names:
        dumped = connection.run(Command(lambda reply: reply, ("DUMP", name)))
        assert isinstance(dumped, bytes)
        yield dumped


def append_only_file(folder: Path) -> bytes:
    """All that a server has written to its append-only file."""
    return b"".join(one.read_bytes() for one in folder.rglob("*.aof"))

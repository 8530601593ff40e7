"""A key of another type, or no memory left: refused, with nothing half-written."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from memory import events, outbox
from memory.errors import CorruptData, MemoryFull
from memory.keys import Keyspace
from memory.mailbox import due_list, intake
from memory.mailbox.delayed import ripe
from memory.mailbox.due import DueEntry
from memory.mailbox.intake import EnqueueOutcome, Intake, OnBusy
from memory.mailbox.outcomes import AcquireOutcome, CommitOutcome, Ending, StopPolicy
from memory.records import history
from memory.records.event import Event, EventType
from memory.redis.command import Command
from memory.redis.connection import Connection
from memory.settings import MemorySettings
from sandbox.valkey import ValkeyServer
from tests.support.mailbox.rig import (
    GAP_MS,
    GRACE_MS,
    LEASE_MS,
    TTL_S,
    Rig,
    done_event,
    turn_of,
)

pytest_plugins = ["tests.support.mailbox.fixtures"]

Operation = Callable[[Rig], Command[object]]

ENDS = ("history", "queue", "jobs", "callbacks", "lease", "done")
TAKES_IN = (*ENDS, "requests", "events", "delayed")
REPLACES = (*ENDS, "requests", "events", "outbox", "delayed")
SAID = Event(EventType.TOKEN, "j1", 1, "said")
END = outbox.End("j1", Event(EventType.DONE, "j1", 1))


def take_in(on_busy: OnBusy, rig: Rig) -> Command[object]:
    """A job that does something to others, and nothing besides."""
    return rig.box.take_in(Intake("j3", b"", 9, on_busy), grace_ms=GRACE_MS)[-1]


OPERATIONS: dict[str, tuple[Operation, tuple[str, ...]]] = {
    "schedule": (
        lambda rig: due_list.schedule(rig.keyspace.due, "H", delay_ms=GRACE_MS),
        ("due",),
    ),
    "enqueue": (
        lambda rig: rig.box.enqueue("j3", b"", cap=9, grace_ms=GRACE_MS)[-1],
        (*TAKES_IN, "pointer"),
    ),
    **{
        on_busy.value: (partial(take_in, on_busy), keys)
        for on_busy, keys in (
            (OnBusy.INTERRUPT, (*TAKES_IN, "pointer")),
            (OnBusy.ROLLBACK, (*REPLACES, "pointer")),
            (OnBusy.MERGE, (*REPLACES, "pointer")),
        )
    },
    "delay": (
        lambda rig: rig.box.take_in(Intake("j3", b"", 9, due_ms=9**15), grace_ms=GRACE_MS)[-1],
        (*TAKES_IN, "pointer"),
    ),
    "ripe": (
        lambda rig: ripe(rig.box.keys, limit=9),
        ("delayed", "jobs"),
    ),
    "claim": (lambda rig: intake.claim(rig.keyspace.job("j3"), "identity"), ("pointer",)),
    "trim": (lambda rig: rig.box.trim(0), ("queue", "done", "requests", "delayed")),
    "acquire": (
        lambda rig: rig.box.acquire(
            "j1",
            "t1",
            lease_ms=1,
            history_n=9,
            max_attempts=9,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )[-1],
        (*ENDS, "dead", "events", "outbox", "delayed"),
    ),
    "renew": (lambda rig: rig.box.renew("t1", lease_ms=LEASE_MS), ("lease",)),
    "commit": (
        lambda rig: rig.box.commit(
            "t1",
            "j1",
            turn_of("j1"),
            event=done_event("j1"),
            keep=9,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )[-1],
        (*ENDS, "events", "outbox", "delayed"),
    ),
    "stop": (lambda rig: rig.box.stop("j1", StopPolicy.KEEP), ("lease",)),
    "fail": (
        lambda rig: rig.box.fail("t1", delay_ms=1, refund=False, grace_ms=GRACE_MS)[1],
        ("lease",),
    ),
    "discard": (
        lambda rig: rig.box.discard(
            "j1", "x", "t1", owner="t1", ending=Ending.DEAD, ttl_s=TTL_S, grace_ms=GRACE_MS
        )[-1],
        (*ENDS, "dead", "events", "outbox", "delayed"),
    ),
    "erase": (
        lambda rig: history.erase(rig.box.keys, write_id="w1", grace_ms=GRACE_MS),
        (
            *ENDS,
            "requests",
            "events",
            "dead",
            "summary",
            "outbox",
            "write_ids",
            "delayed",
            "schedules",
            "archive",
        ),
    ),
    "take_ends": (lambda rig: outbox.take(rig.box.keys, owner="o", claim_ms=1), ("outbox",)),
    "note_late": (lambda rig: outbox.note_late(rig.keyspace, rig.box.keys), ("outboxes",)),
    "delivered": (lambda rig: outbox.delivered(rig.box.keys, [END]), ("outbox", "requests")),
    "publish": (
        lambda rig: events.publish(rig.box.keys, [SAID], ttl_s=TTL_S, token="t1", number=1),  # noqa: S106 - a lease's
        ("lease", "events"),
    ),
    "sweep": (lambda rig: rig.box.sweep(GAP_MS), ("queue", "jobs", "lease")),
    "clean": (
        lambda rig: rig.box.clean(0, ttl_ms=10**12),
        ("history", "queue", "lease", "events", "summary", "delayed", "archive"),
    ),
    "due": (lambda rig: rig.due.entries(limit=9), ("due",)),
    "settle": (lambda rig: rig.due.put_off(DueEntry("x", 1.0), 1), ("due",)),
}


def key_named(rig: Rig, name: str) -> str:
    """A key by its name in the header of a script."""
    others = {
        "due": rig.keyspace.due,
        "outboxes": rig.keyspace.outbox,
        "pointer": rig.keyspace.job("j3"),
    }
    return others.get(name) or str(getattr(rig.box.keys, name))


@pytest.mark.parametrize(
    ("operation", "key"),
    [(name, key) for name, (_, keys) in OPERATIONS.items() for key in keys],
)
def test_a_key_of_another_type_is_corrupt_and_nothing_is_written(
    rig: Rig, operation: str, key: str
) -> None:
    """Whatever key of the operation it is; the error names the key and the type found."""
    for job in ("j1", "j2"):
        rig.enqueue(job)
    rig.acquire("j1", "t1")
    name = key_named(rig, key)
    rig.ask("DEL", name)
    if key == "pointer":
        rig.ask("HSET", name, "not", "ours")
        rig.ask("EXPIRE", name, 60)
    else:
        rig.ask("SET", name, "not ours", "EX", 60)
    before = rig.dump()
    with pytest.raises(CorruptData, match=r"string|hash") as caught:
        rig.connection.run(OPERATIONS[operation][0](rig))
    assert name in str(caught.value)
    assert rig.dump() == before


def test_other_sessions_are_not_disturbed_by_a_corrupt_one(rig: Rig) -> None:
    """Even where both are looked at by the same sweep."""
    other = rig.other("session-2")
    other.enqueue("j1")
    rig.ask("SET", rig.box.keys.queue, "not ours", "EX", 60)
    with pytest.raises(CorruptData):
        rig.enqueue("j2")
    assert other.acquire("j1", "t1").outcome is AcquireOutcome.RUN


def test_every_key_that_an_operation_touches_is_checked() -> None:
    """The table above lists all keys of each operation."""
    rig = Rig(Connection(MemorySettings(_env_file=None)), Keyspace())
    for name, (operation, keys) in OPERATIONS.items():
        expected = [key_named(rig, key) for key in keys]
        assert list(operation(rig).keys) == expected, name


@pytest.fixture
def full_rig() -> Iterator[Rig]:
    """A mailbox on a server of its own, whose memory can be used up."""
    with ValkeyServer(maxmemory="32mb") as server:
        connection = Connection(MemorySettings(_env_file=None, url=server.url()))
        yield Rig(connection, Keyspace())
        connection.close()


def use_up_memory(rig: Rig) -> None:
    """Leave no room for anything."""
    rig.ask("CONFIG", "SET", "maxmemory", "1")


def test_without_memory_no_job_is_taken_in(full_rig: Rig) -> None:
    """The producer hears of it at the door, and nothing is left behind."""
    use_up_memory(full_rig)
    with pytest.raises(MemoryFull):
        full_rig.enqueue("j1")
    with pytest.raises(MemoryFull):
        full_rig.connection.run(full_rig.box.enqueue("j1", b"", cap=9, grace_ms=GRACE_MS)[-1])
    full_rig.ask("CONFIG", "SET", "maxmemory", "0")
    assert full_rig.pending() == []
    assert full_rig.ask("EXISTS", full_rig.keyspace.job("j1")) == 0


def test_without_memory_the_work_in_hand_is_finished(full_rig: Rig) -> None:
    """All but ENQUEUE go on: a job runs, fails, runs again, commits; others are given up."""
    for job in ("j1", "j2", "j3"):
        full_rig.enqueue(job)
    use_up_memory(full_rig)
    assert full_rig.acquire("j1", "t1").outcome is AcquireOutcome.RUN
    assert full_rig.renew("t1")
    full_rig.fail("t1")
    full_rig.acquire("j1", "t2")
    assert full_rig.commit("t2", "j1").outcome is CommitOutcome.OK
    full_rig.bury("j2")
    assert full_rig.sweep().head is not None
    full_rig.later(GRACE_MS)
    (entry,) = full_rig.connection.run(full_rig.due.entries(limit=9))
    assert full_rig.connection.run(full_rig.due.put_off(entry, 1000))
    full_rig.cancel("j3")
    assert full_rig.clean(0).amount == 2, "history and events"


def test_without_memory_a_turn_is_recorded_though_its_events_are_refused(full_rig: Rig) -> None:
    """Only the answer of COMMIT counts, and it names the next job."""
    for job in ("j1", "j2"):
        full_rig.enqueue(job)
    full_rig.acquire("j1", "t1")
    use_up_memory(full_rig)
    said = events.publish(full_rig.box.keys, [SAID], ttl_s=TTL_S, token="t1", number=1)  # noqa: S106 - a lease's
    commit = full_rig.box.commit(
        "t1",
        "j1",
        turn_of("j1"),
        event=done_event("j1"),
        keep=9,
        ttl_s=TTL_S,
        grace_ms=GRACE_MS,
    )
    committed = full_rig.connection.run_last(said, *commit)
    assert (committed.outcome, committed.next and committed.next.job_id) == (
        CommitOutcome.OK,
        "j2",
    )
    with pytest.raises(MemoryFull):
        full_rig.connection.run(said)


def test_without_memory_ends_are_delivered_and_sessions_erased(full_rig: Rig) -> None:
    """What makes room is never refused."""
    for job in ("j1", "j2"):
        full_rig.enqueue(job)
    use_up_memory(full_rig)
    full_rig.cancel("j1")
    full_rig.connection.run(outbox.note_late(full_rig.keyspace, full_rig.box.keys))
    ends = full_rig.take_ends().ends
    full_rig.connection.run(outbox.delivered(full_rig.box.keys, ends))
    assert full_rig.ends() == {}
    assert full_rig.erase("eraser").jobs == 1
    assert {end.job_id for end in full_rig.take_ends("eraser").ends} == {"j1", "j2"}


def test_after_relief_everything_goes_on(full_rig: Rig) -> None:
    """The same call that was refused is repeated."""
    use_up_memory(full_rig)
    with pytest.raises(MemoryFull):
        full_rig.enqueue("j1")
    full_rig.ask("CONFIG", "SET", "maxmemory", "0")
    assert full_rig.enqueue("j1").outcome is EnqueueOutcome.NEW
    assert full_rig.enqueue("j1").outcome is EnqueueOutcome.PENDING


def test_garbage_in_the_fields_of_the_lease_does_not_stop_the_mailbox(rig: Rig) -> None:
    """Numbers that are none count as none."""
    rig.enqueue("j1")
    fields = ("until", "attempt", "not_before", "last", "woken_at", "wakes")
    for field in fields:
        rig.ask("HSET", rig.box.keys.lease, field, "garbage")
    rig.ask("HSET", rig.box.keys.lease, "token", "t0", "job", "j1")
    assert rig.sweep().head is not None
    acquired = rig.acquire("j1", "t1")
    assert (acquired.outcome, acquired.attempt) == (AcquireOutcome.RUN, 1)
    assert rig.enqueue("j2").outcome is EnqueueOutcome.NEW
    assert rig.commit("t1", "j1").outcome is CommitOutcome.OK
    assert rig.history() == list(turn_of("j1"))

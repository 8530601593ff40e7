"""A sweep of the mailboxes while what is shared beside them is damaged or refused."""

import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import Celery

from memory import AsyncConnection, Due, Keyspace, Mailbox, MemorySettings
from sandbox.valkey import ValkeyServer
from tasks.beat.mailbox_sweep import MailboxSweep
from tasks.end.loop_delivery import LoopDelivery
from tasks.process.queue_wait import QueueWait
from tasks.process.redis_clock import redis_clock

KEYSPACE = Keyspace()
GRACE_S = 5.0


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server of the module's own: its memory is used up."""
    with ValkeyServer(maxmemory="32mb") as made:
        yield made


@pytest.fixture
async def memory(server: ValkeyServer) -> AsyncIterator[AsyncConnection]:
    """The connection of the loop, to an empty server."""
    server.command("CONFIG", "SET", "maxmemory", "0")
    server.command("FLUSHALL")
    made = AsyncConnection(MemorySettings(_env_file=None, url=server.url()))
    yield made
    await made.aclose()


@pytest.fixture
def queue_wait() -> QueueWait:
    """What this process knows of the wait in the queue."""
    return QueueWait(GRACE_S)


@pytest.fixture
def sweep(memory: AsyncConnection, queue_wait: QueueWait) -> Iterator[MailboxSweep]:
    """The sweeper; its wake-ups stay in this process."""
    celery = Celery("sweep", broker="memory://", set_as_current=False)
    with ThreadPoolExecutor(1) as wakers:
        ends = LoopDelivery(celery, lambda: memory, KEYSPACE, results=None, claim_ms=1000)
        yield MailboxSweep(celery, memory, Due(KEYSPACE), queue_wait, wakers=wakers, ends=ends)


async def forgotten(memory: AsyncConnection) -> None:
    """A job whose wake-up was lost, and which is due."""
    mailbox = Mailbox.of(KEYSPACE, "energy", "s")
    await memory.run_all(*mailbox.enqueue("job", b"{}", cap=9, grace_ms=0))


async def test_a_sweep_reads_the_servers_clock(
    sweep: MailboxSweep, memory: AsyncConnection, server: ValkeyServer
) -> None:
    """So a worker without work knows it, too, and for no further question."""
    redis_clock.forget()
    assert await sweep.run() == []
    seconds, _ = server.command("TIME")  # type: ignore[misc, union-attr]  # two strings
    assert redis_clock().now_s is not None
    assert abs(redis_clock().now_s - int(str(seconds))) < 60


async def test_a_shared_wait_makes_patient(
    sweep: MailboxSweep, memory: AsyncConnection, queue_wait: QueueWait, server: ValkeyServer
) -> None:
    """As long as it is there."""
    await forgotten(memory)
    server.command("SET", KEYSPACE.queue_wait, 10_000, "PX", 60_000)
    assert await sweep.run() == ["WAKE"]
    assert queue_wait.grace_ms > 2 * GRACE_S * 1000


@pytest.mark.parametrize(
    "damage",
    [
        ("HSET", KEYSPACE.queue_wait, "not", "ours"),
        ("SET", KEYSPACE.queue_wait, "9" * 5000, "PX", "60000"),
        ("SET", KEYSPACE.queue_wait, "999999999", "PX", "60000"),
        ("SET", KEYSPACE.queue_wait, "60000"),
    ],
    ids=["another type", "digits without end", "a week", "for ever"],
)
async def test_a_damaged_shared_wait_ends_no_sweep(
    sweep: MailboxSweep,
    memory: AsyncConnection,
    queue_wait: QueueWait,
    server: ValkeyServer,
    damage: tuple[str, ...],
) -> None:
    """The mailboxes are swept, and nobody is more patient than for a minute."""
    await forgotten(memory)
    server.command(*damage)
    assert await sweep.run() == ["WAKE"]
    assert queue_wait.grace_ms <= 60_000


async def test_a_shared_wait_of_another_type_is_named(
    sweep: MailboxSweep,
    memory: AsyncConnection,
    server: ValkeyServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And left as it is."""
    await forgotten(memory)
    server.command("HSET", KEYSPACE.queue_wait, "not", "ours")
    with caplog.at_level(logging.ERROR):
        await sweep.run()
    assert "the queue's waiting time is not reported" in caplog.text
    assert server.command("TYPE", KEYSPACE.queue_wait) == "hash"


async def test_without_memory_for_the_shared_wait_the_mailboxes_are_swept(
    sweep: MailboxSweep, memory: AsyncConnection, queue_wait: QueueWait, server: ValkeyServer
) -> None:
    """Redis refuses to write it; work in hand goes on."""
    await forgotten(memory)
    queue_wait.note(30.0)
    server.command("CONFIG", "SET", "maxmemory", "1")
    assert await sweep.run() == ["WAKE"]


async def test_a_damaged_mailbox_is_named_and_looked_at_again_in_ten_minutes(
    sweep: MailboxSweep,
    memory: AsyncConnection,
    server: ValkeyServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The others are swept; it does not come first in each sweep from then on."""
    await forgotten(memory)
    damaged = Mailbox.of(KEYSPACE, "energy", "damaged")
    server.command("SET", damaged.keys.queue, "not ours")
    await memory.run(damaged.look(0))
    assert sorted(await sweep.run()) == ["CORRUPT", "WAKE"]
    assert damaged.keys.history in caplog.text
    assert await sweep.run() == []
    seconds, _ = server.command("TIME")  # type: ignore[misc, union-attr]  # two strings
    look_ms = float(str(server.command("ZSCORE", KEYSPACE.due, damaged.keys.history)))
    assert look_ms / 1000 - int(str(seconds)) == pytest.approx(600, abs=60)


async def test_a_member_that_is_no_mailbox_is_named_and_taken_off(
    sweep: MailboxSweep,
    memory: AsyncConnection,
    server: ValkeyServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Bytes that are no text, or another key: once, and the others are swept."""
    await forgotten(memory)
    for member in (b"\xff\xfe", b"another:key"):
        server.command("ZADD", KEYSPACE.due, 1, member)
    assert sorted(await sweep.run()) == ["FORGOTTEN", "FORGOTTEN", "WAKE"]
    assert caplog.text.count("is not the key of a history") == 2
    assert {one.levelname for one in caplog.records} == {"WARNING"}, "nobody has to act"
    assert await sweep.run() == []

"""REDIS_WAIT_REPLICAS: what counts as written is on replicas, or the caller is told."""

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import chain
from typing import TypeVar

import pytest

from memory import (
    AsyncConnection,
    Command,
    CommitOutcome,
    Connection,
    EnqueueOutcome,
    InvalidInput,
    Keyspace,
    Mailbox,
    MemorySettings,
    MemoryUnavailable,
)
from memory.mailbox.intake import Intake
from memory.mailbox.mailbox import NO_CAP
from memory.mailbox.outcomes import Ending
from memory.settings import read_settings
from sandbox.cluster import ValkeyCluster
from sandbox.ports import free_port
from sandbox.resp import RespConnection
from sandbox.valkey import HOST, ValkeyServer
from tests.support.machine import scaled
from tests.support.waiting import wait_until

T = TypeVar("T")
WAIT_S = 0.3
GRACE_MS = 1000
# Of a cluster everywhere: the pointer of a job lies on another server there.
BOX = Mailbox.of(Keyspace(is_cluster=True), "a", "s")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[ValkeyServer, ValkeyServer]]:
    """A master and its replica."""
    with ValkeyServer() as master:
        options = {"replicaof": f"{HOST} {master.port}"}
        with ValkeyServer(options=options) as replica:
            wait_until(lambda: master.command("WAIT", 1, 100) == 1, what="the replica is there")
            yield master, replica


@pytest.fixture(scope="module")
def cluster_pair() -> Iterator[tuple[ValkeyServer, ValkeyServer]]:
    """The master of BOX in a cluster, and its replica."""
    with ExitStack() as stack:
        cluster = ValkeyCluster().start()
        stack.callback(cluster.close)
        slot = cluster.nodes[0].command("CLUSTER", "KEYSLOT", BOX.keys.history)
        owner = int(str(slot)) * 3 // 16_384
        master = cluster.nodes[owner]
        options = {
            "cluster-enabled": "yes",
            "cluster-port": str(free_port()),
            "cluster-node-timeout": "60000",
        }
        replica = stack.enter_context(ValkeyServer(options=options))
        stack.callback(replica.thaw)
        bus_port = master.options["cluster-port"]
        replica.command("CLUSTER", "MEET", HOST, master.port, bus_port)
        master_id = str(master.command("CLUSTER", "MYID"))
        wait_until(lambda: master_id in str(replica.command("CLUSTER", "NODES")), what="they met")
        replica.command("CLUSTER", "REPLICATE", master_id)
        wait_until(lambda: master.command("WAIT", 1, 100) == 1, what="the replica is there")
        yield master, replica


class Sender:
    """Either executor, from a thread or on a loop."""

    def __init__(self, kind: str, settings: MemorySettings) -> None:
        self._async = AsyncConnection(settings) if kind == "async" else None
        self._sync = Connection(settings)

    async def last(self, *commands: *tuple[*tuple[Command[object], ...], Command[T]]) -> T:
        """The last result."""
        if self._async is None:
            return self._sync.run_last(*commands)
        return await self._async.run_last(*commands)

    async def aclose(self) -> None:
        """Close the connections."""
        self._sync.close()
        if self._async is not None:
            await self._async.aclose()


def settings_of(server: ValkeyServer, mode: str, replicas: int = 1) -> MemorySettings:
    """Settings that wait for replicas."""
    return MemorySettings(
        url=None,
        host=HOST,
        port=server.port,
        mode=mode,  # type: ignore[arg-type]  # one of the modes
        timeout_s=scaled(2),
        wait_replicas=replicas,
        wait_timeout_s=WAIT_S,
    )


def is_followed(master: ValkeyServer) -> bool:
    """Whether the replica confirms a write of now; WAIT is about those of its own connection."""
    with RespConnection(master.port) as connection:
        connection.command("DEL", BOX.keys.lease)
        connection.command("HSET", BOX.keys.lease, "probe", 1)
        return connection.command("WAIT", 1, 200) == 1


@pytest.fixture(params=["single", "cluster"])
def servers(request: pytest.FixtureRequest) -> Iterator[tuple[str, ValkeyServer, ValkeyServer]]:
    """The mode, the master and its replica."""
    name = "pair" if request.param == "single" else "cluster_pair"
    master, replica = request.getfixturevalue(name)
    replica.thaw()
    wait_until(lambda: is_followed(master), what="the replica has what was written")
    master.command("FLUSHALL")
    master.command("SCRIPT", "FLUSH")
    yield request.param, master, replica
    replica.thaw()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_job_is_on_its_replica_when_its_sender_is_told(
    kind: str, servers: tuple[str, ValkeyServer, ValkeyServer]
) -> None:
    """Also right after the server has forgotten its scripts."""
    mode, master, _ = servers
    sender = Sender(kind, settings_of(master, mode))
    for number in range(3):
        take_in = BOX.take_in(Intake(f"j{number}", b"{}", 9), grace_ms=GRACE_MS)
        enqueued = await sender.last(*take_in)
        assert (enqueued.outcome, enqueued.position) == (EnqueueOutcome.NEW, number)
        master.command("SCRIPT", "FLUSH")
    await sender.aclose()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_sender_is_told_when_too_few_replicas_have_its_job(
    kind: str, servers: tuple[str, ValkeyServer, ValkeyServer]
) -> None:
    """Also when it sends again, which writes nothing new, and on a connection that has written
    nothing yet; and it is well when they are back."""
    mode, master, replica = servers
    sender = Sender(kind, settings_of(master, mode))
    take_in = BOX.take_in(Intake("j1", b"{}", 1), grace_ms=GRACE_MS)
    await sender.last(*BOX.take_in(Intake("j0", b"{}", 9), grace_ms=GRACE_MS))
    await sender.last(
        *BOX.discard("j0", "", owner="o", ending=Ending.CANCELLED, ttl_s=60, grace_ms=GRACE_MS)
    )
    replica.freeze()

    fresh = Sender(kind, settings_of(master, mode))
    for who, commands in ((sender, take_in), (sender, take_in), (fresh, take_in[-1:])):
        with pytest.raises(MemoryUnavailable, match=r"0 of 1 replicas.*REDIS_WAIT_REPLICAS"):
            await who.last(*commands)
    await fresh.aclose()
    # Nothing was written for this one: its own answer counts.
    full = await sender.last(*BOX.take_in(Intake("j2", b"{}", 1), grace_ms=GRACE_MS))
    assert full.outcome is EnqueueOutcome.FULL

    replica.thaw()
    enqueued = await sender.last(*take_in)
    assert (enqueued.outcome, enqueued.position) == (EnqueueOutcome.PENDING, 0)
    await sender.aclose()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_turn_is_recorded_although_too_few_replicas_have_it(
    kind: str,
    servers: tuple[str, ValkeyServer, ValkeyServer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A worker goes on, and the log says what may be lost; a raw job is taken in likewise."""
    mode, master, replica = servers
    sender = Sender(kind, settings_of(master, mode))
    replica.freeze()
    with caplog.at_level(logging.WARNING):
        raw_job = Intake("j1", b"{}", NO_CAP)
        assert (await sender.last(*BOX.take_in(raw_job, grace_ms=GRACE_MS))).position == 0
        assert "0 of 1 replicas" in caplog.text
        caplog.clear()
        await sender.last(
            *BOX.acquire(
                "j1",
                "t",
                lease_ms=9000,
                history_n=0,
                max_attempts=3,
                ttl_s=60,
                grace_ms=GRACE_MS,
            )
        )
        commit = BOX.commit("t", "j1", [b"{}"], event=b"{}", keep=9, ttl_s=60, grace_ms=GRACE_MS)
        assert (await sender.last(*commit)).outcome is CommitOutcome.OK
        assert "0 of 1 replicas" in caplog.text
    assert master.command("LLEN", BOX.keys.history) == 1
    await sender.aclose()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_many_at_once_wait_for_a_replica_together(
    kind: str, pair: tuple[ValkeyServer, ValkeyServer], caplog: pytest.LogCaptureFixture
) -> None:
    """One after the other, they would take longer than an answer may, and a worker lose Redis."""
    master, replica = pair
    settings = settings_of(master, "single")
    boxes = [Mailbox.of(Keyspace(), "a", f"many {kind} {number}") for number in range(10)]
    jobs = [
        box.take_in(Intake(f"{kind}-{number}", b"{}", NO_CAP), grace_ms=GRACE_MS)
        for number, box in enumerate(boxes)
    ]
    replica.freeze()
    master.command("CONFIG", "RESETSTAT")
    try:
        if kind == "async":
            loop_side = AsyncConnection(settings)
            answers = await asyncio.gather(*(loop_side.run_last(*job) for job in jobs))
            await loop_side.aclose()
            assert [one.outcome for one in answers] == [EnqueueOutcome.NEW] * 10
        else:
            with closing(Connection(settings)) as thread_side:
                thread_side.run_all(*chain.from_iterable(jobs))
        assert "0 of 1 replicas" in caplog.text
        waits = re.search(r"cmdstat_wait:calls=(\d+)", str(master.command("INFO", "commandstats")))
        assert waits is not None
        assert int(waits[1]) <= 2, "again where the scripts were not known yet"
        assert all(master.command("EXISTS", box.keys.queue) == 1 for box in boxes)
    finally:
        replica.thaw()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_reads_do_not_wait_for_replicas(
    kind: str, servers: tuple[str, ValkeyServer, ValkeyServer]
) -> None:
    """Nor does anything else than jobs and turns; and without the setting these do not, either."""
    mode, master, replica = servers
    replica.freeze()
    sender = Sender(kind, settings_of(master, mode))
    assert await sender.last(BOX.pending()) == []
    await sender.aclose()
    plain = Sender(kind, settings_of(master, mode, replicas=0))
    enqueued = await plain.last(*BOX.take_in(Intake("j1", b"{}", 9), grace_ms=GRACE_MS))
    assert enqueued.outcome is EnqueueOutcome.NEW
    await plain.aclose()


def test_a_wait_that_is_longer_than_an_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection would be given up before."""
    monkeypatch.setenv("REDIS_WAIT_REPLICAS", "1")
    monkeypatch.setenv("REDIS_WAIT_TIMEOUT", "5")
    with pytest.raises(InvalidInput, match="REDIS_WAIT_TIMEOUT"):
        read_settings()

"""The executor on an event loop, on a real cluster and behind a real Sentinel."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from memory.errors import CorruptData, InvalidInput, MemoryUnavailable
from memory.keys import Keyspace
from memory.mailbox.mailbox import Mailbox
from memory.mailbox.outcomes import CommitOutcome
from memory.redis.async_connection import AsyncConnection
from memory.redis.command import Command
from memory.settings import MemorySettings
from sandbox.cluster import ValkeyCluster
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.valkey import ValkeyServer, valkey_binary
from tests.support.machine import scaled
from tests.support.mailbox.rig import GRACE_MS, TTL_S, done_event, turn_of
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    """Three masters."""
    cluster = ValkeyCluster().start()
    yield cluster
    cluster.close()


@pytest.fixture
async def on_cluster(cluster: ValkeyCluster) -> AsyncIterator[AsyncConnection]:
    """Told nothing but the mode and one node; no node knows a script or a key."""
    for node in cluster.nodes:
        node.command("FLUSHALL")
        node.command("SCRIPT", "FLUSH")
    url = SecretStr(cluster.url.removesuffix("/0"))
    connection = AsyncConnection(MemorySettings(url=url, mode="cluster", timeout_s=2))
    yield connection
    await connection.aclose()


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """The master that the Sentinel watches."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def sentinel_port(server: ValkeyServer, tmp_path: Path) -> Iterator[int]:
    """A Sentinel that calls the server `griot`."""
    port = free_port()
    conf = tmp_path / "sentinel.conf"
    conf.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor griot 127.0.0.1 {server.port} 1\n"
    )
    command = (valkey_binary(), conf, "--sentinel")
    with ServerProcess(command, log_path=tmp_path / "sentinel.log") as sentinel:
        sentinel.wait_ready(lambda: "+monitor" in sentinel.log_text())
        yield port


def command(*args: str | bytes | int) -> Command[object]:
    """A command with its plain reply."""
    return Command(lambda reply: reply, args)


async def live_a_life(connection: AsyncConnection, session_id: str) -> tuple[bytes, ...]:
    """A job from its sending to its turn; the history before it."""
    keyspace = Keyspace(is_cluster=connection.is_cluster)
    mailbox = Mailbox.of(keyspace, "energy", session_id)
    await connection.run_last(*mailbox.enqueue(session_id, b"", cap=9, grace_ms=GRACE_MS))
    acquired = await connection.run_last(
        *mailbox.acquire(
            session_id,
            "t1",
            lease_ms=9000,
            history_n=9,
            max_attempts=3,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    committed = await connection.run_last(
        *mailbox.commit(
            "t1",
            session_id,
            turn_of(session_id),
            event=done_event(session_id),
            keep=9,
            ttl_s=TTL_S,
            grace_ms=GRACE_MS,
        )
    )
    assert committed.outcome is CommitOutcome.OK
    return acquired.history


async def test_mailboxes_live_on_all_nodes(
    on_cluster: AsyncConnection, cluster: ValkeyCluster
) -> None:
    """Many at once, more than there may be connections; each script touches one slot."""
    await asyncio.gather(*(live_a_life(on_cluster, f"session-{n}") for n in range(150)))
    assert all(int(str(node.command("DBSIZE"))) > 0 for node in cluster.nodes)


async def test_a_cluster_answers_every_caller_its_own(on_cluster: AsyncConnection) -> None:
    """In the order of the caller's calls, and an error only to the one that made it."""
    replies = await on_cluster.run_each(
        [command("SET", f"k{n}", n) for n in range(20)]
        + [command("GET", f"k{n}") for n in range(20)]
    )
    assert replies == [b"OK"] * 20 + [str(n).encode() for n in range(20)]
    good, bad = await asyncio.gather(
        on_cluster.run(command("GET", "k1")),
        on_cluster.run(command("LPUSH", "k1", "x")),
        return_exceptions=True,
    )
    assert good == b"1"
    assert isinstance(bad, CorruptData)


async def test_a_cluster_refuses_text_that_cannot_be_sent(on_cluster: AsyncConnection) -> None:
    """To its caller alone; what others asked for is not sent a second time."""
    bad, good = await asyncio.gather(
        on_cluster.run(command("SET", "k", "\ud800")),
        on_cluster.run(command("INCR", "other")),
        return_exceptions=True,
    )
    assert isinstance(bad, InvalidInput)
    assert good == 1


async def test_a_node_that_was_restarted_is_found_again(
    on_cluster: AsyncConnection, cluster: ValkeyCluster
) -> None:
    """While many callers use the others, and without an error to any but those it concerns."""
    await asyncio.gather(*(live_a_life(on_cluster, f"before-{n}") for n in range(30)))
    node = cluster.nodes[1]
    await asyncio.to_thread(node.restart)
    await eventually(
        lambda: "cluster_state:ok" in str(node.command("CLUSTER", "INFO")), what="it has joined"
    )
    for round_ in range(3):
        sessions = [f"after-{round_}-{n}" for n in range(50)]
        await asyncio.gather(*(live_a_life(on_cluster, session) for session in sessions))


async def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    """In bounded time, as a single server."""
    url = SecretStr(f"redis://127.0.0.1:{free_port()}")
    connection = AsyncConnection(MemorySettings(url=url, mode="cluster", timeout_s=scaled(0.5)))
    async with asyncio.timeout(scaled(10)):
        with pytest.raises(MemoryUnavailable):
            await connection.run(command("GET", "k"))
    await connection.aclose()


def behind_sentinel(port: int, *, timeout_s: float) -> AsyncConnection:
    """To the master that this Sentinel names."""
    sentinels = (f"127.0.0.1:{port}",)
    return AsyncConnection(
        MemorySettings(
            url=None,
            mode="sentinel",
            sentinels=sentinels,
            sentinel_master="griot",
            timeout_s=timeout_s,
        )
    )


async def test_the_master_is_asked_of_the_sentinel(
    server: ValkeyServer, sentinel_port: int
) -> None:
    """And found again after it was restarted."""
    connection = behind_sentinel(sentinel_port, timeout_s=2)
    assert await live_a_life(connection, "session-1") == ()
    server.restart()
    assert await live_a_life(connection, "session-2") == ()
    assert server.command("LLEN", "ecowas:history:energy:session-2") == 2
    await connection.aclose()


async def test_a_master_that_has_become_a_replica_is_asked_for_anew(
    server: ValkeyServer, sentinel_port: int
) -> None:
    """Also where the refusal comes behind another reply: the connection is given up."""
    connection = behind_sentinel(sentinel_port, timeout_s=1)
    before = await connection.run(command("CLIENT", "ID"))
    server.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(MemoryUnavailable):
        await connection.run_all(command("ECHO", "first"), command("SET", "k", "v"))
    server.command("REPLICAOF", "NO", "ONE")
    assert await connection.run(command("CLIENT", "ID")) != before
    await connection.aclose()

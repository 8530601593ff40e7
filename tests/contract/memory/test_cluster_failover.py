"""The node that REDIS_URL names is lost, and its replica takes its place."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from pydantic import SecretStr

from memory import AsyncConnection, Command, Connection, MemorySettings, MemoryUnavailable
from sandbox.cluster import ValkeyCluster
from tests.support.machine import scaled
from tests.support.waiting import wait_until

KEYS = [f"k{number}" for number in range(60)]
PROMOTED_S = 15.0
"""The cluster itself needs about three seconds until the replica is the master."""


@pytest.fixture
def cluster() -> Iterator[ValkeyCluster]:
    """Three masters with a replica each."""
    with ValkeyCluster(has_replicas=True) as cluster:
        yield cluster


@pytest.fixture
def settings(cluster: ValkeyCluster) -> MemorySettings:
    """One node is named, the first."""
    url = SecretStr(cluster.url.removesuffix("/0"))
    return MemorySettings(url=url, mode="cluster", timeout_s=scaled(1))


@pytest.mark.parametrize("loss", ["kill", "freeze"])
async def test_an_event_loop_goes_on_without_the_node_that_was_named(
    cluster: ValkeyCluster, settings: MemorySettings, loss: str
) -> None:
    """On all slots within seconds, and so do those who come later."""
    connection = AsyncConnection(settings)
    await _write(connection)
    getattr(cluster.nodes[0], loss)()
    await _until_all_slots_answer(connection)
    later = AsyncConnection(settings)
    await _until_all_slots_answer(later)
    blocking = Connection(settings)
    assert await asyncio.to_thread(blocking.run_each, _reads())
    for one in (connection, later):
        await one.aclose()
    blocking.close()


def test_a_thread_goes_on_without_the_node_that_was_named(
    cluster: ValkeyCluster, settings: MemorySettings
) -> None:
    """The same for the blocking connection, closed and opened again."""
    connection = Connection(settings)
    connection.run_each([_command("SET", key, "1") for key in KEYS])
    cluster.nodes[0].kill()

    def answers() -> bool:
        with suppress(MemoryUnavailable):
            connection.close()
            return connection.run_each(_reads()) == [b"1"] * len(KEYS)
        return False

    wait_until(answers, timeout_s=PROMOTED_S, what="all slots answer")
    connection.close()


async def _write(connection: AsyncConnection) -> None:
    await connection.run_each([_command("SET", key, "1") for key in KEYS])


async def _until_all_slots_answer(connection: AsyncConnection) -> None:
    async with asyncio.timeout(scaled(PROMOTED_S)):
        while True:
            with suppress(MemoryUnavailable):
                assert await connection.run_each(_reads()) == [b"1"] * len(KEYS)
                return


def _reads() -> list[Command[object]]:
    return [_command("GET", key) for key in KEYS]


def _command(*args: str) -> Command[object]:
    return Command(lambda reply: reply, args)

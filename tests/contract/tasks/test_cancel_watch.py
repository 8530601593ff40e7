"""A worker follows what all processes announce as cancelled."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from memory import AsyncConnection, Command, Keyspace, events
from tasks.process.cancel_watch import watch_cancellations
from tasks.process.stopping import RunningLeases
from tests.support.memory_fixtures import Backend
from tests.support.waiting import eventually


class Leases(RunningLeases):
    """Notes which jobs were announced."""

    def __init__(self) -> None:
        super().__init__()
        self.announced: list[str] = []

    async def stop_if_cancelled(self, memory: AsyncConnection, job_id: str) -> None:
        """Note it only."""
        self.announced.append(job_id)


async def no_pauses() -> None:
    """Nothing is paused."""


@pytest.fixture
async def memory(real_backend: Backend) -> AsyncIterator[AsyncConnection]:
    """The connection that announces."""
    connection = AsyncConnection(real_backend.settings)
    yield connection
    await connection.aclose()


async def test_a_foreign_entry_does_not_hide_the_announcements_behind_it(
    memory: AsyncConnection, real_backend: Backend
) -> None:
    """It is passed over."""
    keyspace, leases = Keyspace(real_backend.settings.key_prefix), Leases()
    await memory.run(events.announce_stop(keyspace, "before"))
    watching = asyncio.create_task(
        watch_cancellations(real_backend.settings, keyspace, leases, no_pauses)
    )

    async def announced_until(is_heard: asyncio.Task[None]) -> None:
        number = 0
        while not is_heard.done():
            number += 1
            await memory.run(events.announce_stop(keyspace, f"job-{number}"))
            await asyncio.wait((is_heard,), timeout=0.1)
        await is_heard

    for what in ("an announcement", "one behind the foreign entry"):
        leases.announced.clear()
        heard = asyncio.create_task(eventually(lambda: leases.announced, what=what))
        await announced_until(heard)
        await memory.run(Command(bool, ("XADD", keyspace.cancellations, "*", "who", "knows")))
    watching.cancel()
    await asyncio.wait((watching,))

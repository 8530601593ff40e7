"""How the look at schedules shares the loop of all turns; the connection is a stub."""

import asyncio
from contextlib import suppress
from typing import cast

from memory import AsyncConnection, Command, DueEntry, Keyspace
from memory.mailbox.schedules import KeptSchedule
from tasks.beat.tick_sweep import TickSweep
from tasks.job.rhythm import Rhythm
from tasks.job.schedule import Schedule
from tasks.submit.producer import Producer

KEYSPACE = Keyspace()
KEYS = KEYSPACE.session("energy", "s")
NOW_MS = 1_800_000_000_000
MANY = 100


class Redis:
    """One session with many schedules, none of which is due."""

    def __init__(self) -> None:
        schedule = Schedule(
            schedule_id="a",
            agent_id="energy",
            session_id="s",
            message="hello",
            rhythm=Rhythm(every_s=3600, begun_s=NOW_MS // 1000),
            after_s=NOW_MS / 1000,
        )
        self.found = [KeptSchedule("a", schedule.pack(), b"")] * MANY

    async def run(self, _: Command[object]) -> list[DueEntry]:
        """The session to look at; other commands answer nothing that is looked at."""
        return [DueEntry(KEYS.history, 0.0)]

    async def run_all(self, *_: Command[object]) -> tuple[int, list[KeptSchedule]]:
        """The server's time, and the session's schedules."""
        return NOW_MS, self.found


async def test_others_have_their_turn_between_two_schedules() -> None:
    """A hundred of them are not looked at in one go."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(take_turns())
    connection = cast("AsyncConnection", Redis())
    assert await TickSweep(connection, KEYSPACE, cast("Producer", None)).run() == 0
    assert turns >= MANY
    other.cancel()
    with suppress(asyncio.CancelledError):
        await other

"""What Redis says of the streams that are followed: one server, its connections lost, its users
without the right to ask, itself restarted."""

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from memory import Command, CorruptData, Event, EventType, MemorySettings, Tail
from memory.encryption.keyring import NO_KEYS
from memory.records.changes import LOOK_S
from memory.records.event import packed
from memory.records.events import FROM_START, Stream, read_several
from memory.redis.async_connection import AsyncConnection
from memory.redis.tracked import TrackedConnection
from sandbox.valkey import ValkeyServer, valkey_binary
from tests.support.machine import scaled
from tests.support.waiting import eventually

WAIT_S = scaled(10)
STREAMS = 40
CIPHER = NO_KEYS.cipher_of("events")
BINARIES = [valkey_binary(), *filter(None, (shutil.which("redis-server"),))]


@pytest.fixture(scope="module", params=BINARIES, ids=lambda path: str(path).rpartition("/")[2])
def server(request: pytest.FixtureRequest) -> Iterator[ValkeyServer]:
    """Valkey, and Redis where there is one."""
    with ValkeyServer(binary=request.param, append_only="always") as server:
        yield server


@pytest.fixture
def settings(server: ValkeyServer) -> MemorySettings:
    """An empty server."""
    server.command("FLUSHALL")
    return MemorySettings(url=SecretStr(server.url()), timeout_s=5)


@pytest.fixture
async def tracked(settings: MemorySettings) -> AsyncIterator[TrackedConnection]:
    """A connection that is told."""
    connection = AsyncConnection(settings)
    tracked = await connection.tracked()
    yield tracked
    await tracked.aclose()
    await connection.aclose()


def tell(server: ValkeyServer, key: str, text: str) -> None:
    """Somebody else writes an event."""
    event = packed(Event(EventType.TOKEN, "job", 1, text), CIPHER)
    server.command("XADD", key, "*", "event", event)


async def texts(tracked: TrackedConnection, *keys: str) -> dict[str, list[str]]:
    """What is in the streams, by one read that Redis remembers."""
    read = read_several(
        keys, [FROM_START] * len(keys), lambda key: Stream(key, CIPHER), block_ms=None
    )
    found = await tracked.read(read, keys)
    return {key: [event.text for event in page] for key, page in found.items()}


CHANGES: dict[str, Callable[[ValkeyServer], object]] = {
    "written": lambda server: tell(server, "a", "more"),
    "deleted": lambda server: server.command("DEL", "a"),
    "unlinked": lambda server: server.command("UNLINK", "a"),
    "trimmed": lambda server: server.command("XTRIM", "a", "MAXLEN", "0"),
    "renamed": lambda server: server.command("RENAME", "a", "c"),
    "expired": lambda server: server.command("PEXPIRE", "a", "1"),
    "written by a script": lambda server: server.command(
        "EVAL", "redis.call('XADD', KEYS[1], '*', 'event', 'x')", "1", "a"
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_redis_says_that_a_stream_changed(
    server: ValkeyServer, tracked: TrackedConnection, change: Callable[[ValkeyServer], object]
) -> None:
    """Once, and nothing of another."""
    tell(server, "a", "one")
    tell(server, "b", "two")
    assert await texts(tracked, "a", "b", "none") == {"a": ["one"], "b": ["two"]}
    change(server)
    await eventually(lambda: bool(tracked.changed), what="Redis says it")
    assert tracked.changed == {"a"}


async def test_redis_says_that_a_stream_came_which_was_not_there(
    server: ValkeyServer, tracked: TrackedConnection
) -> None:
    """The read of nothing is remembered, too."""
    assert await texts(tracked, "none") == {}
    tell(server, "none", "one")
    await eventually(lambda: tracked.changed == {"none"}, what="Redis says it")
    assert await texts(tracked, "none") == {"none": ["one"]}
    assert not tracked.changed


async def test_redis_says_that_all_is_gone(
    server: ValkeyServer, tracked: TrackedConnection
) -> None:
    """FLUSHALL names no key."""
    await texts(tracked, "a")
    server.command("FLUSHALL")
    await eventually(lambda: tracked.is_all_changed, what="Redis says it")


async def test_redis_says_which_keys_it_watches_no_more(
    server: ValkeyServer, tracked: TrackedConnection
) -> None:
    """Where its table is full, `tracking-table-max-keys`."""
    before = server.command("CONFIG", "GET", "tracking-table-max-keys")
    assert isinstance(before, list)
    server.command("CONFIG", "SET", "tracking-table-max-keys", "1")
    keys = [f"key-{number}" for number in range(20)]
    await texts(tracked, *keys)
    await eventually(lambda: len(tracked.changed) >= len(keys) - 1, what="Redis says it")
    assert tracked.changed <= set(keys)
    server.command("CONFIG", "SET", "tracking-table-max-keys", str(before[1]))


async def test_what_comes_while_it_takes_nothing_in_comes_afterwards(
    server: ValkeyServer, settings: MemorySettings, tracked: TrackedConnection
) -> None:
    """All of it."""
    connection = AsyncConnection(settings)
    other = await connection.tracked()
    for one in (tracked, other):
        await texts(one, "a", "b")
    tracked.hold()
    tell(server, "a", "one")
    tell(server, "b", "two")
    await eventually(lambda: other.changed == {"a", "b"}, what="the other takes it in")
    assert not tracked.changed
    tracked.let_go()
    await eventually(lambda: tracked.changed == {"a", "b"}, what="it is taken in")
    await other.aclose()
    await connection.aclose()


class Followers:
    """One for each of many streams, on one Tail."""

    def __init__(self, tail: Tail) -> None:
        self.tail = tail
        self.heard: dict[str, list[str]] = {f"stream-{number}": [] for number in range(STREAMS)}

    async def follow(self, key: str) -> None:
        """From the start, for ever."""
        cursor = FROM_START
        while True:
            for event in await self.tail.after(Stream(key, CIPHER), cursor, timeout_s=WAIT_S):
                cursor = event.cursor
                self.heard[key].append(event.text)

    async def all_heard(self, said: int) -> None:
        """Each has all that was said, and nothing twice."""
        expected = [str(number) for number in range(said)]
        await eventually(
            lambda: all(len(one) >= said for one in self.heard.values()), what="all have heard it"
        )
        assert all(one == expected for one in self.heard.values())


@asynccontextmanager
async def followers(settings: MemorySettings) -> AsyncIterator[Followers]:
    """All streams are followed."""
    tail = Tail(lambda: AsyncConnection(settings))
    following = Followers(tail)
    tasks = [asyncio.create_task(following.follow(key)) for key in following.heard]
    yield following
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await tail.aclose()


def tell_all(server: ValkeyServer, followed: Followers, text: int) -> None:
    """One more event in each stream."""
    for key in followed.heard:
        tell(server, key, str(text))


def tracking(server: ValkeyServer) -> list[str]:
    """The connections that are told what changes."""
    lines = str(server.command("CLIENT", "LIST")).splitlines()
    clients = [dict(word.partition("=")[::2] for word in line.split()) for line in lines]
    return [one["id"] for one in clients if "t" in one["flags"]]


async def _is_told(server: ValkeyServer) -> list[str]:
    await eventually(lambda: bool(tracking(server)), what="a connection is told")
    return tracking(server)


async def test_no_event_is_lost_with_the_connection(
    server: ValkeyServer, settings: MemorySettings
) -> None:
    """It is killed again and again in mid-stream, beside what is written."""
    async with followers(settings) as followed:
        tell_all(server, followed, 0)
        for said in range(1, 4):
            (client,) = await _is_told(server)
            tell_all(server, followed, said)
            server.command("CLIENT", "KILL", "ID", client)
        await followed.all_heard(4)
        await _is_told(server)


async def test_no_event_is_lost_as_redis_restarts(
    server: ValkeyServer, settings: MemorySettings
) -> None:
    """What was written before, and what after."""
    async with followers(settings) as followed:
        await _is_told(server)
        tell_all(server, followed, 0)
        server.kill()
        server.start()
        tell_all(server, followed, 1)
        await _is_told(server)
        tell_all(server, followed, 2)
        await followed.all_heard(3)


async def test_what_is_said_to_be_gone_is_read_again(
    server: ValkeyServer, settings: MemorySettings
) -> None:
    """FLUSHALL, and streams of the same names afterwards."""
    async with followers(settings) as followed:
        tell_all(server, followed, 0)
        await _is_told(server)
        await followed.all_heard(1)
        server.command("FLUSHALL")
        tell_all(server, followed, 1)
        await followed.all_heard(2)


async def test_who_may_not_ask_reads_all(
    server: ValkeyServer, settings: MemorySettings, caplog: pytest.LogCaptureFixture
) -> None:
    """It says why, once."""
    caplog.set_level(logging.INFO, logger="memory.records.changes")
    server.command(
        "ACL", "SETUSER", "narrow", "on", ">narrow", "~*", "&*", "+@all", "-client|tracking"
    )
    url = SecretStr(server.url().replace("redis://", "redis://narrow:narrow@"))
    async with followers(settings.model_copy(update={"url": url})) as followed:
        tell_all(server, followed, 0)
        await followed.all_heard(1)
        await eventually(lambda: bool(caplog.records), what="it is said")
        tell_all(server, followed, 1)
        await followed.all_heard(2)
    (record,) = caplog.records
    assert "client|tracking" in record.message
    assert not tracking(server)
    server.command("ACL", "DELUSER", "narrow")
    server.command("ACL", "LOG", "RESET")  # this refusal is wanted


def reads(server: ValkeyServer) -> int:
    """How often streams were read."""
    stats = str(server.command("INFO", "commandstats"))
    return int(stats.partition("cmdstat_xread:calls=")[2].partition(",")[0] or 0)


async def test_streams_in_which_nothing_happens_cost_redis_a_read_a_second(
    server: ValkeyServer, settings: MemorySettings
) -> None:
    """A read of all, as often as there may have been something that was not said."""
    async with followers(settings):
        await _is_told(server)
        server.command("CONFIG", "RESETSTAT")
        began_s = time.monotonic()
        await eventually(lambda: reads(server) >= 3, what="all are read three times")
        assert time.monotonic() - began_s > LOOK_S


async def test_a_command_that_fails_leaves_the_connection_whole(
    server: ValkeyServer, tracked: TrackedConnection
) -> None:
    """Its error is its own."""
    server.command("SET", "plain", "x")
    with pytest.raises(CorruptData, match="another type"):
        await texts(tracked, "plain")
    assert await tracked.read(Command(lambda reply: reply, ("GET", "plain")), ["plain"]) == b"x"

"""Following many event streams on one loop: on one server, on a cluster, and past the cap."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from pydantic import SecretStr

from memory import (
    Command,
    CorruptData,
    CursorExpired,
    Event,
    EventType,
    InvalidInput,
    MemorySettings,
    Tail,
    events,
)
from memory.keys import Keyspace, SessionKeys
from memory.records.events import FROM_START, MAX_EVENTS, READ_EVENTS, is_after
from memory.redis.async_connection import AsyncConnection
from sandbox.cluster import ValkeyCluster
from tasks.submit.followers import SessionFollower
from tests.support.machine import scaled
from tests.support.memory_fixtures import Backend

WAIT_S = scaled(10)
STREAMS = 30
TRIM_SLACK = 500
"""The cap is approximate: a stream is cut by whole nodes of about a hundred entries."""

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    """Three masters."""
    cluster = ValkeyCluster().start()
    yield cluster
    cluster.close()


@pytest.fixture(params=["single", "cluster"])
def settings(request: pytest.FixtureRequest) -> MemorySettings:
    """Each in turn: what holds on one server holds on a cluster."""
    if request.param == "single":
        backend: Backend = request.getfixturevalue("real_backend")
        return backend.settings
    nodes: ValkeyCluster = request.getfixturevalue("cluster")
    for node in nodes.nodes:
        node.command("FLUSHALL")
    url = SecretStr(nodes.url.removesuffix("/0"))
    return MemorySettings(url=url, mode="cluster", timeout_s=5)


@pytest.fixture
async def memory(settings: MemorySettings) -> AsyncIterator[AsyncConnection]:
    """The connection that publishes."""
    connection = AsyncConnection(settings)
    yield connection
    await connection.aclose()


@pytest.fixture
async def tail(settings: MemorySettings) -> AsyncIterator[Tail]:
    """What waits, on a connection of its own."""
    tail = Tail(lambda: AsyncConnection(settings))
    yield tail
    await tail.aclose()


@pytest.fixture
def streams(settings: MemorySettings) -> list[SessionKeys]:
    """Sessions, on a cluster spread over its servers."""
    keyspace = Keyspace(settings.key_prefix)
    return [keyspace.session("energy", f"session-{number}") for number in range(STREAMS)]


async def tell(memory: AsyncConnection, keys: SessionKeys, *texts: str) -> None:
    """Publish a token of each text."""
    told = [Event(EventType.TOKEN, "job", 1, text) for text in texts]
    await memory.run(Command(bool, ("HSET", keys.lease, "token", "holder")))
    await memory.run(Command(bool, ("EXPIRE", keys.lease, 60)))
    publish = events.publish(keys, told, ttl_s=60, token="holder", number=next(NUMBERS))  # noqa: S106 - a lease's
    assert await memory.run(publish)


async def first_cursor(tail: Tail, keys: SessionKeys) -> str:
    """The cursor of the first event of a stream."""
    (event, *_) = await tail.after(events.stream_of(keys), FROM_START, timeout_s=WAIT_S)
    return event.cursor


async def test_followers_of_many_sessions_each_get_their_own(
    memory: AsyncConnection, tail: Tail, streams: list[SessionKeys]
) -> None:
    """All wait at once; each is told what is said in its session, piece by piece."""

    async def follow(keys: SessionKeys) -> list[str]:
        cursor, texts = FROM_START, list[str]()
        while len(texts) < 3:
            for event in await tail.after(events.stream_of(keys), cursor, timeout_s=WAIT_S):
                cursor = event.cursor
                texts.append(event.text)
        return texts

    following = [asyncio.create_task(follow(keys)) for keys in streams]
    for piece in range(3):
        for keys in streams:
            await tell(memory, keys, f"{keys.session_id} {piece}")
    told = await asyncio.wait_for(asyncio.gather(*following), WAIT_S)
    assert told == [[f"{keys.session_id} {piece}" for piece in range(3)] for keys in streams]


async def test_nothing_comes_of_a_stream_in_which_nothing_happens(
    memory: AsyncConnection, tail: Tail, streams: list[SessionKeys]
) -> None:
    """After the time that was asked for, also beside a stream in which much happens."""
    busy, silent = streams[:2]
    await tell(memory, busy, "one", "two")
    found = await asyncio.gather(
        tail.after(events.stream_of(busy), FROM_START, timeout_s=WAIT_S),
        tail.after(events.stream_of(silent), FROM_START, timeout_s=0.2),
    )
    assert [[event.text for event in of] for of in found] == [["one", "two"], []]


async def test_each_wait_ends_in_its_own_time(tail: Tail, streams: list[SessionKeys]) -> None:
    """One timer serves all: a later wait may be the shorter one, and one that is left is gone."""
    ended: list[str] = []

    async def wait(name: str, timeout_s: float) -> None:
        found = await tail.after(events.stream_of(streams[0]), FROM_START, timeout_s=timeout_s)
        assert found == []
        ended.append(name)

    waits = [asyncio.create_task(wait(*one)) for one in (("long", 0.4), ("short", 0.05))]
    left = asyncio.create_task(wait("left", 0.2))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([*waits, left])
    assert ended == ["short", "long"]


async def test_who_waits_at_the_end_is_told_nothing(tail: Tail, streams: list[SessionKeys]) -> None:
    """And does not wait for ever."""
    waiting = asyncio.create_task(
        tail.after(events.stream_of(streams[0]), FROM_START, timeout_s=WAIT_S * 10)
    )
    await asyncio.sleep(0)
    await tail.aclose()
    assert await waiting == []


async def test_who_falls_behind_the_cap_is_told(
    memory: AsyncConnection, tail: Tail, streams: list[SessionKeys]
) -> None:
    """The events after its cursor are gone: an error, not a gap; others of the session go on."""
    keys, other = streams[:2]
    await tell(memory, keys, "one", "two")
    await tell(memory, other, "here")
    cursor = await first_cursor(tail, keys)
    await tell(memory, keys, *["more"] * (MAX_EVENTS + TRIM_SLACK))
    slow, new, beside = await asyncio.gather(
        tail.after(events.stream_of(keys), cursor, timeout_s=WAIT_S),
        tail.after(events.stream_of(keys), FROM_START, timeout_s=WAIT_S),
        tail.after(events.stream_of(other), FROM_START, timeout_s=WAIT_S),
        return_exceptions=True,
    )
    assert isinstance(slow, CursorExpired)
    assert isinstance(new, list)
    assert {event.text for event in new} == {"more"}
    assert isinstance(beside, list)
    assert [event.text for event in beside] == ["here"]


async def test_who_is_far_behind_but_within_the_cap_misses_nothing(
    memory: AsyncConnection, tail: Tail, streams: list[SessionKeys]
) -> None:
    """It catches up, read by read."""
    keys = streams[0]
    texts = [str(number) for number in range(MAX_EVENTS - TRIM_SLACK)]
    await tell(memory, keys, "one")
    cursor = await first_cursor(tail, keys)
    await tell(memory, keys, *texts)
    caught_up: list[str] = []
    while len(caught_up) < len(texts):
        found = await tail.after(events.stream_of(keys), cursor, timeout_s=WAIT_S)
        assert 0 < len(found) <= READ_EVENTS
        cursor = found[-1].cursor
        caught_up += [event.text for event in found]
    assert caught_up == texts


async def test_who_has_seen_all_of_a_stream_that_ended_goes_on_with_its_successor(
    memory: AsyncConnection, tail: Tail, streams: list[SessionKeys]
) -> None:
    """A session that was idle for longer than its events live is no gap."""
    keys = streams[0]
    await tell(memory, keys, "before")
    cursor = await first_cursor(tail, keys)
    await memory.run(Command(bool, ("UNLINK", keys.events)))
    await tell(memory, keys, "after")
    found = await tail.after(events.stream_of(keys), cursor, timeout_s=WAIT_S)
    assert [event.text for event in found] == ["after"]


DAMAGES = {
    "a foreign entry": lambda key: ("XADD", key, "*", "who", "knows"),
    "a key of another type": lambda key: ("SET", key, "no stream"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_stream_fails_its_own_followers_only(
    memory: AsyncConnection,
    tail: Tail,
    streams: list[SessionKeys],
    damage: Callable[[str], tuple[str, ...]],
) -> None:
    """The others of the process get their events, those that are there and those that come."""
    bad, good, later = streams[:3]
    await memory.run_all(
        Command(bool, damage(bad.events)), Command(bool, ("EXPIRE", bad.events, 60))
    )
    await tell(memory, good, "here")
    following = [
        asyncio.create_task(tail.after(events.stream_of(keys), FROM_START, timeout_s=WAIT_S))
        for keys in (bad, good, later)
    ]
    assert [event.text for event in await following[1]] == ["here"]
    await tell(memory, later, "there")
    assert [event.text for event in await following[2]] == ["there"]
    if damage is DAMAGES["a key of another type"]:
        with pytest.raises(CorruptData):
            await following[0]
    await asyncio.wait(following)


async def test_a_foreign_entry_that_nobody_reads_fails_nobody(
    memory: AsyncConnection, tail: Tail, streams: list[SessionKeys]
) -> None:
    """At the begin and the end of a stream, where only the cursors are looked at."""
    keys = streams[0]
    foreign = Command(bool, ("XADD", keys.events, "1-0", "who", "knows"))
    await memory.run(foreign)
    await tell(memory, keys, *["more"] * READ_EVENTS)
    found = await tail.after(events.stream_of(keys), "1-0", timeout_s=WAIT_S)
    assert len(found) == READ_EVENTS
    await memory.run(Command(bool, ("XADD", keys.events, "*", "who", "knows")))
    assert is_after(await memory.run(events.last_cursor(keys.events)), found[-1].cursor)
    await memory.run(events.check_cursor(keys, found[-1].cursor))


async def test_events_of_a_type_that_only_a_newer_version_knows_are_passed_over(
    memory: AsyncConnection, tail: Tail, streams: list[SessionKeys]
) -> None:
    """During a rolling update; the follower's cursor moves behind them all the same."""
    keys = streams[0]
    newer = '{"type":"reticulated","job":"job","attempt":1}'
    await tell(memory, keys, "one")
    await memory.run(Command(bool, ("XADD", keys.events, "*", "event", newer)))
    found = await tail.after(events.stream_of(keys), FROM_START, timeout_s=WAIT_S)
    follower = SessionFollower(keys, FROM_START)
    assert [event.text for event in follower.take(found)] == ["one"]
    assert follower.cursor == found[-1].cursor
    assert len(found) == 2


@pytest.mark.parametrize("cursor", ["99999999999999999999-0", "1-18446744073709551616", "one"])
def test_what_redis_takes_for_no_cursor_is_refused(cursor: str, streams: list[SessionKeys]) -> None:
    """Before anything is asked: its numbers have 64 bits."""
    with pytest.raises(InvalidInput):
        events.check_cursor(streams[0], cursor)


def test_only_a_full_read_can_hide_a_gap() -> None:
    """So nobody who keeps up asks whether there is one."""
    assert READ_EVENTS < MAX_EVENTS
    assert events.may_have_gap([Event(EventType.TOKEN, "job", 1)] * READ_EVENTS)
    assert not events.may_have_gap([Event(EventType.TOKEN, "job", 1)] * (READ_EVENTS - 1))

"""The way of events from a worker to the streams: collected, in order, the first token soon."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from memory import AsyncConnection, Command, Event, EventType, Keyspace, MemorySettings, events
from memory.keys import SessionKeys
from memory.records.events import FROM_START
from memory.redis.async_connection import BATCH_CALLS
from sandbox.ports import free_port
from tasks.process import live_events
from tasks.process.live_events import Relay
from tests.support.machine import scaled
from tests.support.memory_fixtures import Backend
from tests.support.waiting import eventually

NEVER_S = 600.0
HOLDER, LOST = "holder", "lost"


@pytest.fixture
async def memory(real_backend: Backend) -> AsyncIterator[AsyncConnection]:
    """One connection for both sides."""
    connection = AsyncConnection(real_backend.settings)
    yield connection
    await connection.aclose()


@pytest.fixture
async def keys(memory: AsyncConnection) -> SessionKeys:
    """A session of the test's own, in which the attempt `HOLDER` runs."""
    return await session(memory, str(uuid.uuid4()))


async def session(memory: AsyncConnection, session_id: str) -> SessionKeys:
    """A session in which the attempt `HOLDER` runs."""
    keys = Keyspace().session("energy", session_id)
    await memory.run(Command(bool, ("HSET", keys.lease, "token", HOLDER)))
    await memory.run(Command(bool, ("EXPIRE", keys.lease, 60)))
    return keys


def token(text: str, job_id: str = "job") -> Event:
    """A piece of a reply."""
    return Event(EventType.TOKEN, job_id, 1, text)


async def stored(memory: AsyncConnection, keys: SessionKeys, amount: int = 1) -> list[str]:
    """The text of a session's events, once there are so many."""
    async with asyncio.timeout(scaled(5)):
        while True:
            found = await memory.run(events.read(keys, FROM_START, block_ms=100))
            if len(found) >= amount:
                return [event.text for event in found]


async def test_tokens_of_a_tick_become_one_event(
    memory: AsyncConnection, keys: SessionKeys
) -> None:
    """In their order; those of another session are in the same pipeline, not in the same event."""
    relay = Relay(memory, ttl_of=lambda agent: 60)
    other = await session(memory, f"{keys.session_id}-2")
    for text in ("a", "b", "c"):
        relay.emit(keys, token(text), token=HOLDER)
        relay.emit(other, token(text.upper()), token=HOLDER)
    assert await stored(memory, keys) == ["abc"]
    assert await stored(memory, other) == ["ABC"]


async def test_what_is_to_be_sent_soon_does_not_wait_for_the_tick(
    memory: AsyncConnection, keys: SessionKeys
) -> None:
    """And takes along what waits; what comes later waits for its own tick."""
    relay = Relay(memory, ttl_of=lambda agent: 60, tick_s=NEVER_S)
    relay.emit(keys, token("before"), token=HOLDER)
    await asyncio.sleep(0)
    relay.emit(keys, Event(EventType.STARTED, "next", 1), token=HOLDER)
    relay.emit(keys, token("first", "next"), token=HOLDER, soon=True)
    assert await stored(memory, keys, 3) == ["before", "", "first"]
    relay.emit(keys, token("second", "next"), token=HOLDER)
    assert await stored(memory, keys, 3) == ["before", "", "first"]


async def test_texts_of_a_stream_come_some_time_apart(
    memory: AsyncConnection, keys: SessionKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is an entry. What is no text takes along what waits; a first token waits for none."""
    monkeypatch.setattr(live_events, "PACE_S", NEVER_S)
    relay = Relay(memory, ttl_of=lambda agent: 60)
    relay.emit(keys, Event(EventType.STARTED, "job", 1), token=HOLDER)
    relay.emit(keys, token("first"), token=HOLDER, soon=True)
    assert await stored(memory, keys, 2) == ["", "first"]
    relay.emit(keys, token("a"), token=HOLDER)
    other = await session(memory, f"{keys.session_id}-2")
    relay.emit(other, token("of another"), token=HOLDER)
    assert await stored(memory, other) == ["of another"]
    relay.emit(keys, token("b"), token=HOLDER)
    relay.emit(keys, Event(EventType.TOOL_CALL, "job", 1), token=HOLDER)
    assert await stored(memory, keys, 4) == ["", "first", "ab", ""]
    relay.emit(keys, token("again"), token=HOLDER, soon=True)
    assert (await stored(memory, keys, 5))[4:] == ["again"]
    relay.emit(keys, token("last"), token=HOLDER)
    await memory.run_each(await relay.taken(keys, HOLDER))
    assert (await stored(memory, keys, 6))[5:] == ["last"]


async def test_what_waits_can_be_taken_along(memory: AsyncConnection, keys: SessionKeys) -> None:
    """By who sends the last event of a turn: nothing of it comes behind that."""
    relay = Relay(memory, ttl_of=lambda agent: 60, tick_s=NEVER_S)
    relay.emit(keys, token("a"), token=HOLDER)
    relay.emit(keys, token("b"), token=HOLDER)
    await memory.run_each(await relay.taken(keys, HOLDER))
    assert await stored(memory, keys) == ["ab"]
    assert await relay.taken(keys, HOLDER) == []


async def test_what_an_attempt_says_that_has_lost_its_job_is_dropped(
    memory: AsyncConnection, keys: SessionKeys
) -> None:
    """Its tokens would stand among those of the attempt that runs now."""
    relay = Relay(memory, ttl_of=lambda agent: 60)
    relay.emit(keys, token("late"), token=LOST)
    relay.emit(keys, token("here"), token=HOLDER)
    assert await stored(memory, keys) == ["here"]
    relay.emit(keys, token("too late"), token=LOST)
    relay.emit(keys, token("there"), token=HOLDER)
    assert await stored(memory, keys, 2) == ["here", "there"]


async def test_what_is_said_of_no_attempt_makes_no_stream(
    memory: AsyncConnection, keys: SessionKeys
) -> None:
    """A session that was erased stays without; where there is a stream it is told."""
    relay = Relay(memory, ttl_of=lambda agent: 60)
    waiting = Event(EventType.WAITING, "job", 0)
    relay.emit(keys, waiting)
    await relay.taken(keys, "")
    publish = events.publish(keys, [waiting], ttl_s=60)
    assert not await memory.run(publish)
    relay.emit(keys, token("here"), token=HOLDER)
    assert await stored(memory, keys) == ["here"]
    assert await memory.run(publish)
    assert await stored(memory, keys, 2) == ["here", ""]


async def test_a_damaged_stream_costs_no_other_session_an_event(
    memory: AsyncConnection, keys: SessionKeys, caplog: pytest.LogCaptureFixture
) -> None:
    """However many sessions there are in a tick; the log names the one that lost its events."""
    await memory.run(Command(bool, ("SET", keys.events, "no stream", "EX", 60)))
    others = [await session(memory, f"{keys.session_id}-{n}") for n in range(BATCH_CALLS)]
    relay = Relay(memory, ttl_of=lambda agent: 60)
    for one in (keys, *others):
        relay.emit(one, token("here"), token=HOLDER)
    for one in others:
        assert await stored(memory, one) == ["here"]
    (line,) = caplog.messages
    assert line.startswith(f"live events of session {keys.session_id} of agent energy are lost")


async def test_without_redis_one_line_tells_what_is_lost(
    keys: SessionKeys, caplog: pytest.LogCaptureFixture
) -> None:
    """It names some of the sessions."""
    gone = AsyncConnection(MemorySettings(port=free_port(), timeout_s=0.5))
    relay = Relay(gone, ttl_of=lambda agent: 60)
    for number in range(5):
        relay.emit(Keyspace().session("energy", f"{keys.session_id}-{number}"), token("here"))
    await eventually(lambda: bool(caplog.messages), what="a line in the log")
    await gone.aclose()
    (line,) = caplog.messages
    assert " and 2 more sessions are lost" in line

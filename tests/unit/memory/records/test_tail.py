"""Many that follow many streams in one process, in virtual time: whoever waits for an event that is
there gets it soon, whoever else comes, leaves or is cancelled meanwhile."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from memory import Event, MemoryServiceError, MemoryUnavailable, Tail
from memory.records.changes import LOOK_S
from memory.records.events import FROM_START, READ_EVENTS, Stream
from memory.records.tail import BLOCK_MS, LATE_S, TRACKED_FROM
from memory.redis.async_connection import AsyncConnection
from tests.support.effort import effort
from tests.support.virtual_time.loop import passed, run
from tests.support.virtual_time.streams import CIPHER, TRIP_S, Streams

GRID_MS = 5
"""All happens at multiples of it, so that much happens at once."""
SOON_S = 2 * BLOCK_MS / 1000 + 8 * TRIP_S
"""A read that is under way ends, and the next one brings it; where streams are read one by one,
there is a pause between the two."""
STREAMS = 3


@dataclass(frozen=True)
class Follower:
    """Who follows a stream: from when, how often it asks, so many turns of the loop after the last
    answer, for how long, and whether it is cancelled before it is through."""

    stream: int
    from_ms: int
    asks: int
    timeout_ms: int
    turns: int = 0
    from_now: bool = False
    gone_ms: int | None = None

    async def follow(self, tail: Tail, streams: Streams) -> None:
        """Check what it is told, and when."""
        clock, key = asyncio.get_running_loop().time, f"stream-{self.stream}"
        await passed(self.from_ms / 1000)
        told_s = streams.told_s[key]
        seen = len(told_s) if self.from_now else 0
        for _ in range(self.asks):
            for _ in range(self.turns):
                await asyncio.sleep(0)
            began_s = clock()
            try:
                found = await tail.after(
                    Stream(key, CIPHER), f"{seen}-0", timeout_s=self.timeout_ms / 1000
                )
            except MemoryServiceError:
                continue
            waited_s = clock() - began_s
            assert waited_s <= self.timeout_ms / 1000 + LATE_S + TRIP_S, waited_s
            assert [event.text for event in found] == [
                str(number) for number in range(seen + 1, seen + 1 + len(found))
            ]
            if len(told_s) > seen:
                late_s = clock() - max(began_s, told_s[seen])
                assert late_s <= SOON_S, (self, seen, late_s)
            seen += len(found)


def _times(most_ms: int) -> st.SearchStrategy[int]:
    return st.integers(0, most_ms // GRID_MS).map(lambda ticks: ticks * GRID_MS)


FOLLOWERS = st.builds(
    Follower,
    stream=st.integers(0, STREAMS - 1),
    from_ms=_times(300),
    asks=st.integers(1, 8),
    timeout_ms=_times(200),
    turns=st.integers(0, 5),
    from_now=st.booleans(),
    gone_ms=st.none() | _times(500),
)
EVENTS = st.tuples(_times(600), st.integers(0, STREAMS - 1), st.integers(1, 3))
NUMBERS = st.frozensets(st.integers(1, 40), max_size=4)
STREAMS_OF_A_SERVER = st.builds(
    lambda kind, failing, corrupt: Streams(
        kind == "cluster", failing, corrupt, is_refusing=kind == "refusing"
    ),
    st.sampled_from(["telling", "telling", "refusing", "cluster"]),
    NUMBERS | st.just(frozenset()),
    NUMBERS | st.just(frozenset()),
)
TROUBLES = st.tuples(_times(600), st.none() | st.integers(0, STREAMS + 1))
"""A connection is lost that is told of changes, a stream is no longer watched, or all are not, or
the next read fails for one of its streams."""


def _trouble(streams: Streams, kind: int | None) -> None:
    if kind is None:
        streams.lose()
    elif kind < STREAMS:
        streams.touch(f"stream-{kind}")
    elif kind == STREAMS:
        streams.forget_all()
    else:
        streams.corrupt |= {streams.calls + 1}
        streams.touch("stream-0")


async def _all_follow(
    streams: Streams, followers: Sequence[Follower], events: Sequence[tuple[int, int, int]],
    troubles: Sequence[tuple[int, int | None]] = (), *, tracked_from: int = TRACKED_FROM,
) -> None:  # fmt: skip
    """Let them follow while these events come; in the end nobody asks the server any more."""
    loop = asyncio.get_running_loop()
    tail = Tail(lambda: cast("AsyncConnection", streams), tracked_from=tracked_from)
    for at_ms, stream, amount in events:
        loop.call_at(at_ms / 1000, streams.tell, f"stream-{stream}", amount)
    for at_ms, trouble in troubles:
        loop.call_at(at_ms / 1000, _trouble, streams, trouble)
    following = [asyncio.create_task(one.follow(tail, streams)) for one in followers]
    for one, task in zip(followers, following, strict=True):
        if one.gone_ms is not None:
            loop.call_at(one.gone_ms / 1000, task.cancel)
    for result in await asyncio.gather(*following, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    await passed(SOON_S)
    calls = streams.calls
    await passed(10)
    assert streams.calls == calls
    await tail.aclose()


@settings(max_examples=effort(50, long=1000), deadline=None)
@given(
    followers=st.lists(FOLLOWERS, min_size=1, max_size=60)
    | st.lists(FOLLOWERS, min_size=25, max_size=60),
    events=st.lists(EVENTS, max_size=100) | st.lists(EVENTS, min_size=40, max_size=100),
    troubles=st.lists(TROUBLES, max_size=6),
    streams=STREAMS_OF_A_SERVER,
    tracked_from=st.sampled_from([1, 1, STREAMS, TRACKED_FROM]),
)
def test_whoever_waits_for_an_event_that_is_there_gets_it_soon(
    followers: list[Follower],
    events: list[tuple[int, int, int]],
    troubles: list[tuple[int, int | None]],
    streams: Streams,
    tracked_from: int,
) -> None:
    """And nothing twice, in no other order, and nobody waits for longer than it asked."""
    following = _all_follow(streams, followers, events, troubles, tracked_from=tracked_from)
    run(following, end_s=60)


def test_hundreds_follow_hundreds_of_streams() -> None:
    """All of them to their ends: each stream says something every quarter of a second."""
    amount, tokens = 200, 10
    followers = [
        Follower(one, from_ms=one % 97, asks=tokens, timeout_ms=500) for one in range(amount)
    ]
    events = [
        (100 + 250 * token + (one * 37) % 250, one, 1)
        for one in range(amount)
        for token in range(tokens)
    ]
    streams = Streams()
    run(_all_follow(streams, followers, events), end_s=60)
    assert streams.tracked_calls > streams.calls / 2


async def _follow_one(
    streams: Streams, amounts: Sequence[int], trouble: int | None = 1
) -> list[float]:
    """So many events come at once, every now and then, on a connection that is told of changes and
    in trouble just before; how late each is."""
    tail = Tail(lambda: cast("AsyncConnection", streams), tracked_from=1)
    clock, stream, cursor = asyncio.get_running_loop().time, "stream-0", FROM_START
    late_s: list[float] = []
    await tail.after(Stream(stream, CIPHER), cursor, timeout_s=1)
    for number, amount in enumerate(amounts):
        asyncio.get_running_loop().call_later(1.2, _trouble, streams, trouble)
        asyncio.get_running_loop().call_later(1.4, streams.tell, stream, amount)
        while len(late_s) < sum(amounts[: number + 1]):
            for event in await tail.after(Stream(stream, CIPHER), cursor, timeout_s=10):
                cursor = event.cursor
                late_s.append(clock() - streams.told_s[stream][int(event.text) - 1])
    await tail.aclose()
    return late_s


def test_more_than_one_read_gives_is_read_at_once() -> None:
    """The rest does not wait for the next change."""
    streams = Streams()
    assert max(run(_follow_one(streams, [2 * READ_EVENTS + 10, 1]), end_s=60)) <= SOON_S
    assert streams.tracked_calls > streams.calls / 2


@pytest.mark.parametrize(
    "trouble",
    [None, 0, STREAMS, STREAMS + 1],
    ids=["lost", "evicted", "flushed", "beside a damaged one"],
)
def test_what_happens_to_the_connection_makes_no_event_late(trouble: int | None) -> None:
    """Also in a stream in which nothing had happened for long."""
    streams = Streams()
    assert max(run(_follow_one(streams, [1] * 5, trouble), end_s=60)) <= SOON_S
    assert streams.tracked_calls


def test_where_changes_are_not_said_all_are_read_again(caplog: pytest.LogCaptureFixture) -> None:
    """A proxy that passes on nothing but replies: the first event is late, and no other is."""
    caplog.set_level("INFO", logger="memory.records.changes")
    late_s = run(_follow_one(Streams(is_mute=True), [1] * 5), end_s=60)
    assert SOON_S < late_s[0] <= LOOK_S + SOON_S
    assert max(late_s[1:]) <= SOON_S
    assert [record.message for record in caplog.records] == [
        "Redis does not say which event streams have changed, so that all that are followed are "
        "read each time: it said nothing of a stream that changed"
    ]


def test_a_refusal_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Redis is asked again ten minutes later, which nobody wants to read of."""
    caplog.set_level("INFO", logger="memory.records.changes")
    streams = Streams(is_refusing=True)
    assert max(run(_follow_one(streams, [1] * 1000), end_s=2000)) <= SOON_S
    assert streams.asked_to_tell == 3
    assert len(caplog.records) == 1


async def _two_that_wait_for_nothing() -> list[list[Event]]:
    tail = Tail(lambda: cast("AsyncConnection", Streams()))
    asked = (tail.after(Stream("stream-0", CIPHER), FROM_START, timeout_s=0) for _ in range(2))
    found = await asyncio.gather(*asked)
    await tail.aclose()
    return found


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_wait_may_be_for_no_time(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """uvloop has no timers of less than half a millisecond."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(_two_that_wait_for_nothing()) == [[], []]


def test_who_asks_again_while_it_closes_is_told_so() -> None:
    """Its reader ends, and its timer is gone: it would wait for ever."""

    async def follow(tail: Tail) -> None:
        while True:
            await tail.after(Stream("stream-0", CIPHER), FROM_START, timeout_s=5)

    async def close() -> None:
        tail = Tail(lambda: cast("AsyncConnection", Streams()))
        following = asyncio.create_task(follow(tail))
        await passed(1)
        await tail.aclose()
        with pytest.raises(MemoryUnavailable):
            await following

    run(close(), end_s=60)

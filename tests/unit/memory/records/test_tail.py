"""Many that follow many streams in one process, in virtual time: whoever waits for an event that is
there gets it soon, whoever else comes, leaves or is cancelled meanwhile."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from memory import CorruptData, Event, EventType, MemoryServiceError, MemoryUnavailable, Tail
from memory.encryption.keyring import NO_KEYS
from memory.records.event import packed
from memory.records.events import FROM_START, Stream
from memory.records.tail import BLOCK_MS, LATE_S
from memory.redis.async_connection import AsyncConnection
from memory.redis.command import Command
from tests.support.virtual_time.loop import passed, run

T = TypeVar("T")
CIPHER = NO_KEYS.cipher_of("events")
TRIP_S = 0.0025
GRID_MS = 5
"""All happens at multiples of it, so that much happens at once."""
SOON_S = 2 * BLOCK_MS / 1000 + 8 * TRIP_S
"""A read that is under way ends, and the next one brings it; where streams are read one by one,
there is a pause between the two."""
STREAMS = 3


@dataclass(eq=False)
class Streams:
    """The streams of a server, as an AsyncConnection asks for them."""

    is_cluster: bool = False
    failing: frozenset[int] = frozenset()
    """The numbers of the calls that fail."""
    corrupt: frozenset[int] = frozenset()
    """The numbers of those that cannot be read together."""
    calls: int = 0
    told_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each event of a stream came; the n-th has the cursor n-0 and the text n."""
    label: str = "nowhere"
    is_closed: bool = False
    _news: set["asyncio.Future[None]"] = field(default_factory=set)

    def tell(self, key: str, amount: int = 1) -> None:
        """Something happens in a stream."""
        self.told_s[key] += [asyncio.get_running_loop().time()] * amount
        for one in self._news:
            if not one.done():
                one.set_result(None)

    async def run(self, command: Command[T]) -> T:
        """XREAD that waits, or XRANGE."""
        self.calls += 1
        number, name = self.calls, command.args[0]
        await passed(TRIP_S)
        if self.is_closed or number in self.failing:
            raise MemoryUnavailable("it is away")
        if name == "XREAD" and number in self.corrupt:
            raise CorruptData("one of them is no stream")
        args = list(map(str, command.args))
        reply = await self._xread(args) if name == "XREAD" else self._xrange(args)
        await passed(TRIP_S)
        return command.parse(reply)

    async def aclose(self) -> None:
        """Nobody asks any more."""
        self.is_closed = True

    async def _xread(self, args: Sequence[str]) -> object:
        _, _, count, _, block_ms, _, *names = args
        keys, cursors = names[: len(names) // 2], names[len(names) // 2 :]
        found = self._found(keys, cursors, int(count))
        if not found:
            news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._news.add(news)
            await asyncio.wait((news,), timeout=int(block_ms) / 1000)
            self._news.discard(news)
            found = self._found(keys, cursors, int(count))
        return found or None

    def _xrange(self, args: Sequence[str]) -> object:
        _, key, after, _, _, count = args
        cursor = FROM_START if after == "-" else after.removeprefix("(")
        found = self._found([key], [cursor], int(count))
        return found[0][1] if found else []

    def _found(
        self, keys: Sequence[str], cursors: Sequence[str], count: int
    ) -> list[tuple[bytes, list[tuple[bytes, list[bytes]]]]]:
        found = []
        for key, cursor in zip(keys, cursors, strict=True):
            begun = int(cursor.partition("-")[0])
            numbers = range(begun + 1, len(self.told_s[key]) + 1)[:count]
            if numbers:
                found.append((key.encode(), [_entry(number) for number in numbers]))
        return found


def _entry(number: int) -> tuple[bytes, list[bytes]]:
    event = Event(EventType.TOKEN, "job", 1, str(number))
    return f"{number}-0".encode(), [b"event", packed(event, CIPHER)]


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


async def _all_follow(
    streams: Streams, followers: Sequence[Follower], events: Sequence[tuple[int, int, int]]
) -> None:
    """Let them follow while these events come; in the end nobody asks the server any more."""
    loop = asyncio.get_running_loop()
    tail = Tail(lambda: cast("AsyncConnection", streams))
    for at_ms, stream, amount in events:
        loop.call_at(at_ms / 1000, streams.tell, f"stream-{stream}", amount)
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


@settings(max_examples=150, deadline=None)
@given(
    followers=st.lists(FOLLOWERS, min_size=1, max_size=60)
    | st.lists(FOLLOWERS, min_size=25, max_size=60),
    events=st.lists(EVENTS, max_size=100) | st.lists(EVENTS, min_size=40, max_size=100),
    is_cluster=st.booleans(),
    failing=NUMBERS,
    corrupt=NUMBERS,
)
def test_whoever_waits_for_an_event_that_is_there_gets_it_soon(
    followers: list[Follower],
    events: list[tuple[int, int, int]],
    is_cluster: bool,
    failing: frozenset[int],
    corrupt: frozenset[int],
) -> None:
    """And nothing twice, in no other order, and nobody waits for longer than it asked."""
    streams = Streams(is_cluster, failing, corrupt)
    run(_all_follow(streams, followers, events), end_s=60)


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
    run(_all_follow(Streams(), followers, events), end_s=60)


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

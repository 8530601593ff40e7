"""Streams of a server in virtual time, for who asks again and who is told what has changed."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import hiredis

from memory import CorruptData, Event, EventType, MemoryRefused, MemoryUnavailable
from memory.encryption.keyring import NO_KEYS
from memory.records.event import packed
from memory.records.events import FROM_START
from memory.redis.async_client import ServerClient
from memory.redis.command import Command
from memory.redis.tracked import TrackedConnection
from tests.support.virtual_time.loop import passed

T = TypeVar("T")
CIPHER = NO_KEYS.cipher_of("events")
TRIP_S = 0.0025
TIMEOUT_S = 1.0
_NO_MORE = object()


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
    is_refusing: bool = False
    """Whether nobody may ask which of them change."""
    is_mute: bool = False
    """Whether that is allowed, and never said."""
    asked_to_tell: int = 0
    """How often somebody wanted to be told what has changed."""
    tracked_calls: int = 0
    """The calls of those that are told what has changed."""
    lines: list["Line"] = field(default_factory=list)
    """Their connections, in the order in which they were opened."""
    _news: set["asyncio.Future[None]"] = field(default_factory=set)

    def tell(self, key: str, amount: int = 1) -> None:
        """Something happens in a stream."""
        self.told_s[key] += [asyncio.get_running_loop().time()] * amount
        for one in self._news:
            if not one.done():
                one.set_result(None)
        self.touch(key)

    def touch(self, key: str) -> None:
        """A stream has changed, or is no longer watched."""
        for line in self.lines:
            line.say_changed(key)

    def forget_all(self) -> None:
        """As after FLUSHALL of another database: Redis says that all has changed, once."""
        for line in self.lines:
            line.say_all_changed()

    def lose(self) -> None:
        """The connections of those that are told what has changed are lost."""
        for line in self.lines:
            line.lose()

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

    async def tracked(self) -> TrackedConnection:
        """One that is told which streams have changed."""
        self.asked_to_tell += 1
        await passed(2 * TRIP_S)
        if self.is_refusing:
            raise MemoryRefused("may not ask for it")
        line = Line(self)
        self.lines.append(line)
        return TrackedConnection(line, cast("ServerClient", line), self.label, TIMEOUT_S)

    def answer(self, args: Sequence[str]) -> bytes:
        """The reply to an XREAD that does not wait, in RESP3. ConnectionError: none."""
        self.calls += 1
        self.tracked_calls += 1
        if self.calls in self.failing:
            raise ConnectionError
        if self.calls in self.corrupt:
            return b"-WRONGTYPE one of them is no stream\r\n"
        names = args[4:]
        keys, cursors = names[: len(names) // 2], names[len(names) // 2 :]
        found = self._found(keys, cursors, int(args[2]))
        return _map(found) if found else b"_\r\n"

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


class Line(asyncio.Transport):
    """The connection of one that is told which of the keys have changed that it has read.

    What is under way takes TRIP_S and keeps its order; what is said while it does not take in comes
    afterwards.
    """

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams
        self._protocol: asyncio.BaseProtocol = asyncio.Protocol()
        self._parser = hiredis.Reader(notEnoughData=_NO_MORE)
        self._watched: set[str] = set()
        self._under_way: deque[bytes] = deque()
        self._held: list[bytes] | None = None
        self._is_over = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is told what comes."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        return self._protocol

    def is_closing(self) -> bool:
        """Whether it is over."""
        return self._is_over

    def pause_reading(self) -> None:
        """Keep what comes."""
        assert self._held is None
        self._held = []

    def resume_reading(self) -> None:
        """Give what came, in the next turn."""
        assert self._held is not None
        came, self._held = b"".join(self._held), None
        if came:
            asyncio.get_running_loop().call_soon(self._give, came)

    def write(self, data: object) -> None:
        """A command is sent."""
        self._parser.feed(cast("bytes", data))
        args = [one.decode() for one in self._parser.gets()]
        asyncio.get_running_loop().call_later(TRIP_S, self._answer, args)

    def abort(self) -> None:
        """This end closes it."""
        self.lose()

    async def aclose(self) -> None:
        """As the client of the connection."""
        self.lose()

    def lose(self) -> None:
        """It is over; this end learns of it in the next turn."""
        if not self._is_over:
            self._is_over = True
            protocol = cast("asyncio.Protocol", self._protocol)
            asyncio.get_running_loop().call_soon(protocol.connection_lost, None)

    def say_changed(self, key: str) -> None:
        """Once for each time that it was read."""
        if key in self._watched:
            self._watched.remove(key)
            self._say(b">2\r\n$10\r\ninvalidate\r\n*1\r\n" + _bulk(key.encode()))

    def say_all_changed(self) -> None:
        """And nothing is watched any more."""
        self._watched.clear()
        self._say(b">2\r\n$10\r\ninvalidate\r\n_\r\n")

    def _answer(self, args: list[str]) -> None:
        if self._is_over:
            return
        try:
            reply = self._streams.answer(args)
        except ConnectionError:
            self.lose()
            return
        names = args[4:]
        self._watched.update(names[: len(names) // 2])
        self._send(reply)

    def _say(self, said: bytes) -> None:
        if not self._streams.is_mute and not self._is_over:
            self._send(said)

    def _send(self, data: bytes) -> None:
        self._under_way.append(data)
        asyncio.get_running_loop().call_later(TRIP_S, self._arrive)

    def _arrive(self) -> None:
        data = self._under_way.popleft()
        if self._held is not None:
            self._held.append(data)
        else:
            self._give(data)

    def _give(self, data: bytes) -> None:
        if not self._is_over:
            cast("asyncio.Protocol", self._protocol).data_received(data)


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def _map(found: Sequence[tuple[bytes, list[tuple[bytes, list[bytes]]]]]) -> bytes:
    said = b"%%%d\r\n" % len(found)
    for key, entries in found:
        said += _bulk(key) + b"*%d\r\n" % len(entries)
        for cursor, fields in entries:
            said += b"*2\r\n" + _bulk(cursor) + b"*2\r\n" + b"".join(map(_bulk, fields))
    return said

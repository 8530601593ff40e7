"""The executor of calls on an event loop.

The calls of all coroutines that were made in one turn of the loop go out as one pipeline: a
hundred streams cost a few round trips, not a hundred. Only a sender touches a connection, so a
caller that is cancelled breaks neither it nor the replies of others.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast, overload

from memory.errors import InvalidInput, MemoryServiceError, MemoryUnavailable
from memory.redis.async_client import MAX_CONNECTIONS, Calls, Client, Replies, new_client
from memory.redis.command import Command
from memory.redis.endpoint import endpoint
from memory.redis.failures import Attempts, log_failures, refused, translating
from memory.redis.replicas import ReplicaWait
from memory.redis.round_trip import RoundTrip
from memory.redis.tracked import TrackedConnection, open_tracked
from memory.settings import MemorySettings

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

BATCH_CALLS = 512
"""Calls per pipeline, so that neither side has to buffer an unbounded one."""
BATCHES_UNDER_WAY = 4
"""Pipelines that wait for their replies at once, each on a connection of its own."""


@dataclass(slots=True, eq=False)
class _Group:
    """Calls of one caller: sent in one pipeline, in order.

    An error is a result of the future, not its exception: its caller may be gone by then.
    """

    commands: Calls
    answer: asyncio.Future[Replies | MemoryServiceError]
    deciding: int | None = None
    """How many of the last calls decide whether the group has failed; None: all."""


class AsyncConnection:
    """Sends calls to Redis and awaits the answers, for any number of coroutines of one loop.

    It means the same as `connection.Connection`: nothing is sent before the first call, lost
    connections are opened again, calls are tried at most four times within about twice
    `REDIS_TIMEOUT`, and only `MemoryServiceError`s are raised. While Redis restarts, calls wait or
    fail within that bound, and later ones work.

    A cancelled caller does not know whether its calls were executed; all are safe to repeat.
    """

    def __init__(self, settings: MemorySettings, *, client: Client | None = None) -> None:
        """`client` stands in for the one that `settings` describe, and is closed likewise."""
        self.timeout_s = settings.timeout_s
        self._endpoint = endpoint(settings, max_connections=MAX_CONNECTIONS)
        self._replica_wait = ReplicaWait.of(settings, self._endpoint.label)
        self._client = client
        self._waiting: deque[_Group] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._is_flush_due = False
        self._is_closed = False

    @property
    def label(self) -> str:
        """The server, as messages name it: no credentials."""
        return self._endpoint.label

    @property
    def is_cluster(self) -> bool:
        """Whether it is a Redis Cluster, where calls go to several servers."""
        return self._endpoint.mode == "cluster"

    async def run(self, command: Command[T]) -> T:
        """The result of one call."""
        return command.parse((await self._ask((command,)))[0])

    @overload
    async def run_all(self, first: Command[A], second: Command[B], /) -> tuple[A, B]: ...
    @overload
    async def run_all(
        self, first: Command[A], second: Command[B], third: Command[C], /
    ) -> tuple[A, B, C]: ...
    async def run_all(self, *commands: Command[object]) -> tuple[object, ...]:
        """The results of some calls that are sent together, in this order, not atomically.

        An error reply to one does not keep Redis from running the next; the first error is
        raised. On a cluster they are sent one after the other.
        """
        return tuple(await self.run_each(commands))

    async def run_last(self, *commands: *tuple[*tuple[Command[object], ...], Command[T]]) -> T:
        """The result of the last of some calls that are sent together, in this order.

        Only its own answer counts: what fails of the others is logged.
        """
        return cast("T", (await self._run_deciding(commands, 1))[0])

    async def run_last_two(
        self, *commands: *tuple[*tuple[Command[object], ...], Command[A], Command[B]]
    ) -> tuple[A, B]:
        """`run_last`, but for the last two."""
        first, second = await self._run_deciding(commands, 2)
        return cast("A", first), cast("B", second)

    async def run_each(self, commands: Sequence[Command[T]]) -> list[T]:
        """`run_all` for any number of calls of one kind, sent in parts of 512."""
        results: list[T] = []
        for start in range(0, len(commands), BATCH_CALLS):
            part = commands[start : start + BATCH_CALLS]
            replies = await self._ask(part)
            results += [command.parse(reply) for command, reply in zip(part, replies, strict=True)]
        return results

    async def run_apart(self, commands: Sequence[Command[T]]) -> list[T | MemoryServiceError]:
        """The results of some calls that are sent together, and have nothing to do with each
        other: an error of one is its result, and keeps no other from being sent. Raises nothing.
        """
        # Not a coroutine for each, which the loop would have to schedule: a relay has a hundred.
        begun = [self._begin((command,)) for command in commands]
        return [_result_of(one, await answer) for one, answer in zip(commands, begun, strict=True)]

    async def tracked(self) -> TrackedConnection:
        """Another connection to the same server, which the caller closes: see `open_tracked`."""
        return await open_tracked(self._endpoint, timeout_s=self.timeout_s)

    async def aclose(self) -> None:
        """Await what is under way, then close all connections. Safe to repeat.

        Calls made afterwards raise MemoryUnavailable.
        """
        self._is_closed = True
        self._flush()
        while self._senders:
            await asyncio.wait(self._senders)
        client, self._client = self._client, None
        if client is not None:
            with translating(self.label):
                await client.aclose()

    async def _run_deciding(self, commands: Calls, deciding: int) -> list[object]:
        replies = await self._ask(commands, deciding)
        log_failures(commands[:-deciding], replies[:-deciding], self.label)
        last = zip(commands[-deciding:], replies[-deciding:], strict=True)
        return [command.parse(reply) for command, reply in last]

    async def _ask(self, commands: Calls, deciding: int | None = None) -> Replies:
        wait = self._replica_wait
        sent = commands if wait is None else wait.sent(commands)
        if deciding is not None:
            deciding += len(sent) - len(commands)
        answer = await self._begin(sent, deciding)
        if isinstance(answer, MemoryServiceError):
            raise answer
        return answer if wait is None else wait.own(commands, sent, answer)

    def _begin(
        self, commands: Calls, deciding: int | None = None
    ) -> asyncio.Future[Replies | MemoryServiceError]:
        """Have the calls sent; an error is a result, too."""
        loop = asyncio.get_running_loop()
        group = _Group(commands, loop.create_future(), deciding)
        if self._is_closed:
            closed = f"the connection to Redis at {self.label} was closed"
            group.answer.set_result(MemoryUnavailable(closed))
            return group.answer
        self._waiting.append(group)
        if not self._is_flush_due:
            self._is_flush_due = True
            # Behind what is ready to run: what other coroutines ask for in this turn goes along.
            loop.call_soon(self._flush)
        return group.answer

    def _flush(self) -> None:
        """Send what waits; where enough is under way, the end of a batch calls this again."""
        self._is_flush_due = False
        while self._waiting and len(self._senders) < BATCHES_UNDER_WAY:
            batch = self._take_batch()
            sender = asyncio.get_running_loop().create_task(self._send(batch), context=Context())
            self._senders.add(sender)
            sender.add_done_callback(partial(self._sender_ended, batch))

    def _take_batch(self) -> list[_Group]:
        batch: list[_Group] = []
        size = 0
        # A group is never parted, even one that is larger: its calls keep their order.
        while self._waiting and (not batch or size + len(self._waiting[0].commands) <= BATCH_CALLS):
            group = self._waiting.popleft()
            if group.answer.done():
                continue  # its caller gave up before anything was sent
            batch.append(group)
            size += len(group.commands)
        return batch

    async def _send(self, batch: Sequence[_Group]) -> None:
        attempts = Attempts(self.timeout_s)
        while batch:
            answers = await self._exchange(batch)
            delay_s = attempts.next_delay_s() if any(map(_is_passing, answers)) else None
            again = []
            for group, answer in zip(batch, answers, strict=True):
                # Only what failed goes again: an error reply to one caller delays no other.
                if delay_s is not None and _is_passing(answer):
                    again.append(group)
                elif not group.answer.done():
                    group.answer.set_result(answer)
            batch = again
            if delay_s is not None:
                await asyncio.sleep(delay_s)

    async def _exchange(self, batch: Sequence[_Group]) -> list[Replies | MemoryServiceError]:
        try:
            with translating(self.label), RoundTrip():
                if self._client is None:
                    self._client = new_client(self._endpoint, timeout_s=self.timeout_s)
                replies = await self._client.exchange([group.commands for group in batch])
        except InvalidInput as exc:  # found while packing: it is the fault of one of them
            if len(batch) == 1:
                return [exc]
            return [(await self._exchange([group]))[0] for group in batch]
        except MemoryServiceError as exc:
            return [_own(exc) for _ in batch]
        answers = zip(batch, replies, strict=True)
        return [self._first_error(answer, group) or answer for group, answer in answers]

    def _first_error(self, replies: Replies, group: _Group) -> MemoryServiceError | None:
        # Of a cluster whose connection was lost, the only reply is the error.
        first = 0 if group.deciding is None else max(0, len(replies) - group.deciding)
        for command, reply in zip(group.commands[first:], replies[first:], strict=False):
            if isinstance(reply, Exception) and not command.tolerates(reply):
                return refused(command, reply, self.label)
        return None

    def _sender_ended(self, batch: Sequence[_Group], sender: asyncio.Task[None]) -> None:
        """Leave no caller waiting, whatever ended the sender (the loop, or a fault of ours)."""
        self._senders.discard(sender)
        error = None if sender.cancelled() else sender.exception()
        for group in batch:
            if error is not None and not group.answer.done():
                group.answer.set_exception(error)
            group.answer.cancel()
        self._flush()


def _is_passing(answer: Replies | MemoryServiceError) -> bool:
    return isinstance(answer, MemoryUnavailable)


def _own(error: MemoryServiceError) -> MemoryServiceError:
    """A copy for one of several callers: a raised exception belongs to one traceback."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy


def _result_of(command: Command[T], answer: Replies | MemoryServiceError) -> T | MemoryServiceError:
    if isinstance(answer, MemoryServiceError):
        return answer
    try:
        return command.parse(answer[0])
    except MemoryServiceError as exc:
        return exc

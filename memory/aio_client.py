"""The clients of redis-py for an event loop, and how groups of calls are exchanged over them.

A client made here never tries again by itself; `aio.AsyncConnection` does.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from itertools import chain

import hiredis
from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from memory.call import Argument, Call
from memory.endpoint import Endpoint, keep_raw

CLUSTER_CALLERS = 64
"""Groups under way at once on a cluster, where each takes a connection."""
READ_AT_ONCE = 64
"""Replies for which one time-out is set."""

Calls = Sequence[Call[object]]
Replies = list[object]
"""One for each call; an error reply is a value of the list."""
Wire = tuple[Argument, ...]


class ServerClient:
    """One server, or the master that Sentinels name: all groups go out as one pipeline."""

    def __init__(
        self, client: Redis, *, timeout_s: float, sentinel: Sentinel | None = None
    ) -> None:
        """`timeout_s` is the longest wait for an answer."""
        self._client = client
        self._pool = client.connection_pool
        self._timeout_s = timeout_s
        self._sentinel = sentinel

    async def exchange(self, groups: Sequence[Calls]) -> list[Replies]:
        """The replies to each group. Raises what redis-py raises when the connection fails."""
        replies = await self._send([call.wire() for call in chain.from_iterable(groups)])
        answers = _in_groups(replies, groups)
        forgotten = [i for i, answer in enumerate(answers) if _first_without_script(answer) >= 0]
        if forgotten:
            await self._send_with_scripts(groups, answers, forgotten)
        return answers

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()

    async def _send_with_scripts(
        self, groups: Sequence[Calls], answers: list[Replies], forgotten: Sequence[int]
    ) -> None:
        # Redis forgot its scripts (a restart, a fail-over, SCRIPT FLUSH). What follows such a
        # call in its group is sent once more too, so that the order holds.
        starts = [_first_without_script(answers[i]) for i in forgotten]
        again = [groups[i][start:] for i, start in zip(forgotten, starts, strict=True)]
        replies = await self._send(_sources_once(chain.from_iterable(again)))
        for i, start, tail in zip(forgotten, starts, _in_groups(replies, again), strict=True):
            answers[i][start:] = tail

    async def _send(self, wires: Sequence[Wire]) -> Replies:
        # What redis-py's pipeline does, at a third of its cost: packed by hiredis, and with one
        # time-out that moves on, not one for each reply.
        request = b"".join(map(hiredis.pack_command, wires))
        connection = await self._pool.get_connection()
        try:
            await connection.send_packed_command(request)
            return await self._read(connection, len(wires))
        except BaseException:
            # Replies that nobody has read must not become another caller's.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)

    async def _read(self, connection: AbstractConnection, amount: int) -> Replies:
        replies: Replies = []
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(None) as deadline:
                while len(replies) < amount:
                    if len(replies) % READ_AT_ONCE == 0:
                        deadline.reschedule(clock() + self._timeout_s)
                    try:
                        replies.append(await connection.read_response(timeout=math.inf))
                    except exceptions.ResponseError as exc:
                        replies.append(exc)
        except TimeoutError as exc:
            raise exceptions.TimeoutError("no answer in time") from exc
        return replies


class ClusterClient:
    """A cluster: the calls of a group go to their nodes one after the other."""

    def __init__(self, client: RedisCluster) -> None:
        self._client = client
        self._callers = asyncio.Semaphore(CLUSTER_CALLERS)
        keep_raw(client.response_callbacks)

    async def exchange(self, groups: Sequence[Calls]) -> list[Replies]:
        """As `ServerClient.exchange`."""
        return await asyncio.gather(*(self._exchange_group(calls) for calls in groups))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _exchange_group(self, calls: Calls) -> Replies:
        async with self._callers:
            replies = []
            for call in calls:
                reply = await self._send(call.wire())
                if isinstance(reply, exceptions.NoScriptError):
                    reply = await self._send(call.wire_with_source())
                replies.append(reply)
            return replies

    async def _send(self, wire: Wire) -> object:
        try:
            reply: object = await self._client.execute_command(*wire)
        except exceptions.ResponseError as exc:
            return exc
        return reply


Client = ServerClient | ClusterClient


def new_client(where: Endpoint, *, timeout_s: float) -> Client:
    """A client that connects with its first exchange."""
    never = Retry(NoBackoff(), 0)
    if where.mode == "cluster":
        return ClusterClient(RedisCluster(retry=never, **where.cluster_options()))  # type: ignore[arg-type]
    if where.mode == "sentinel":
        sentinel_options = where.sentinel_options() | {"retry": never}
        sentinel = Sentinel(where.sentinels, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
        options = {k: v for k, v in where.options.items() if k not in ("host", "port")}
        master = sentinel.master_for(where.sentinel_master, retry=never, **options)  # type: ignore[arg-type]
        return ServerClient(master, timeout_s=timeout_s, sentinel=sentinel)
    client = Redis(retry=never, **where.options)  # type: ignore[arg-type]
    return ServerClient(client, timeout_s=timeout_s)


def _in_groups(replies: Replies, groups: Sequence[Calls]) -> list[Replies]:
    rest = iter(replies)
    return [[next(rest) for _ in calls] for calls in groups]


def _first_without_script(replies: Replies) -> int:
    for index, reply in enumerate(replies):
        if isinstance(reply, exceptions.NoScriptError):
            return index
    return -1


def _sources_once(calls: Iterable[Call[object]]) -> list[Wire]:
    """Each script's source with the first call that needs it, its digest with the others."""
    sent: set[str] = set()
    wires = []
    for call in calls:
        is_known = call.script is None or call.script.sha in sent
        wires.append(call.wire() if is_known else call.wire_with_source())
        if call.script is not None:
            sent.add(call.script.sha)
    return wires

"""The clients of redis-py for an event loop, and how groups of calls are exchanged over them.

A client made here never tries again by itself; `async_connection.AsyncConnection` does.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice

import hiredis
from redis import exceptions
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode, PipelineCommand
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from memory.redis.cluster_nodes import note_nodes, seen_nodes
from memory.redis.command import Command
from memory.redis.endpoint import Endpoint, keep_raw
from memory.redis.replicas import OneWait, has_wait_behind
from memory.redis.script_sources import (
    Wire,
    first_without_script,
    run_scripts,
    sources_always,
    sources_once,
)

MAX_CONNECTIONS = 64
"""Connections per server, and so groups under way at once on a cluster, where each takes one."""

Calls = Sequence[Command[object]]
Replies = list[object]
"""One for each call; an error reply is a value of the list."""


class ServerClient:
    """One server, or the master that Sentinels name: all groups go out as one pipeline."""

    def __init__(
        self, client: Redis, *, timeout_s: float, sentinel: Sentinel | None = None
    ) -> None:
        """`timeout_s` is the longest wait for an answer."""
        self._client = client
        self._pool = client.connection_pool
        self._free: list[AbstractConnection] = []
        self._known: set[str] = set()
        self._timeout_s = timeout_s
        self._sentinel = sentinel
        # What a connection is of no use after: behind Sentinels another is the master then.
        others = () if sentinel is None else (exceptions.ReadOnlyError,)
        self._ends = (exceptions.ConnectionError, *others)

    async def exchange(self, groups: Sequence[Calls]) -> list[Replies]:
        """The replies to each group. Raises what redis-py raises when the connection fails."""
        # Not by digest at once: what follows an unknown script in its group would run before it.
        known = set(self._known)
        wires = sources_once(chain.from_iterable(groups), known)
        answers = _in_groups(await self._send(wires), groups)
        if len(known) > len(self._known):
            self._known |= run_scripts(chain.from_iterable(groups), chain.from_iterable(answers))
        # The second time each call brings its source: scripts may be forgotten between two calls.
        for with_sources in (partial(sources_once, known=set()), sources_always):
            if exceptions.NoScriptError not in map(type, chain.from_iterable(answers)):
                break
            # Redis forgot its scripts. What follows such a call in its group goes once more too.
            self._known.clear()
            starts = [first_without_script(answer) for answer in answers]
            again = [group[start:] for group, start in zip(groups, starts, strict=True)]
            tails = _in_groups(await self._send(with_sources(chain.from_iterable(again))), again)
            for answer, start, tail in zip(answers, starts, tails, strict=True):
                answer[start:] = tail
        return answers

    async def own_transport(self, first: Wire) -> asyncio.Transport:
        """The transport of a connection that has been sent a command, for whoever reads what comes
        by itself; `aclose` closes it. Raises what redis-py raises, for an error reply too."""
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        await connection.send_command(*first)
        await connection.read_response()
        # redis-py has no public way to it. It shakes hands (login, TLS, database, Sentinels), but
        # its reader costs ten times as much per message as the parser alone.
        transport: asyncio.Transport = connection._writer.transport
        return transport

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()

    async def _send(self, wires: Sequence[Wire]) -> Replies:
        # What redis-py's pipeline does, at a fifth of its cost: packed by hiredis, written without
        # a task for it, with one time-out that moves on.
        waiting = OneWait(wires)
        request = b"".join(map(hiredis.pack_command, waiting.sent))  # type: ignore[arg-type]  # the stub says: a tuple of one
        # The pool's own lending takes half as long as all else here.
        connection = self._free.pop() if self._free else await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            # Where it was closed meanwhile, it is opened anew.
            if not connection.is_connected or await connection.can_read():
                await self._pool.ensure_connection(connection)
            await connection.check_health()
            connection._writer.writelines((request,))  # type: ignore[union-attr]  # it is connected
            return waiting.all_replies(await self._read(connection, len(waiting.sent)))
        except BaseException:
            # Replies that nobody has read must not become another caller's. The server may have
            # begun anew, and know no script.
            self._known.clear()
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._free.append(connection)

    async def _read(self, connection: AbstractConnection, amount: int) -> Replies:
        replies: Replies = []
        clock = asyncio.get_running_loop().time
        # It may have replies already: redis-py takes twelve calls for each of these.
        take = connection._parser._reader.gets  # type: ignore[attr-defined]  # of hiredis
        try:
            async with asyncio.timeout(None) as deadline:
                while len(replies) < amount:
                    if (reply := take()) is NOT_ENOUGH_DATA:
                        deadline.reschedule(clock() + self._timeout_s)
                        # math.inf: None would be redis-py's own time-out, set and cancelled.
                        try:
                            reply = await connection.read_response(timeout=math.inf)
                        except exceptions.ResponseError as exc:
                            reply = exc.with_traceback(None)  # it holds these replies
                    if isinstance(reply, self._ends):
                        raise reply
                    replies.append(reply)
        except TimeoutError as exc:
            raise exceptions.TimeoutError("no answer in time") from exc
        return replies


class ClusterClient:
    """A cluster: the calls of a group go to their nodes one after the other.

    redis-py 8.1's client breaks when several coroutines make it learn the layout of the cluster at
    once (seen as `Connection closed by server`), at first use and after a lost connection. So it
    learns it alone here, and a client that lost a connection is replaced.
    """

    def __init__(self, new_cluster: Callable[[], RedisCluster], *, label: str) -> None:
        """`new_cluster` makes a client that has not connected yet; `label` names its cluster."""
        self._new_cluster = new_cluster
        self._label = label
        self._failed_node: str | None = None
        self._cluster: RedisCluster | None = None
        self._learning = asyncio.Lock()
        self._callers = asyncio.Semaphore(MAX_CONNECTIONS)

    async def exchange(self, groups: Sequence[Calls]) -> list[Replies]:
        """As `ServerClient.exchange`; a group that failed has its error as its only reply."""
        cluster = await self._ready()
        answers = await asyncio.gather(
            *(self._exchange_group(cluster, commands) for commands in groups)
        )
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        if errors:
            failed = (getattr(error, "last_failed_node_name", None) for error in errors)
            self._failed_node = next(filter(None, failed), self._failed_node)
            await self._replace(cluster)
        return [[answer] if isinstance(answer, Exception) else answer for answer in answers]

    async def aclose(self) -> None:
        """Close all connections."""
        if self._cluster is not None:
            await _close(self._cluster)

    async def _ready(self) -> RedisCluster:
        async with self._learning:
            if self._cluster is None:
                cluster = self._new_cluster()
                # The node that failed is asked last: it may take a whole time-out to say nothing.
                await cluster.initialize(last_failed_node_name=self._failed_node)
                note_nodes(
                    self._label, [(node.host, int(node.port)) for node in cluster.get_nodes()]
                )
                keep_raw(cluster.response_callbacks)
                self._cluster = cluster
            return self._cluster

    async def _replace(self, cluster: RedisCluster) -> None:
        # Another caller may have replaced it already.
        if self._cluster is cluster:
            self._cluster = None
        await _close(cluster)

    async def _exchange_group(self, cluster: RedisCluster, commands: Calls) -> Replies | Exception:
        """The replies, or why there are none: a connection was lost."""
        async with self._callers:
            try:
                return await _reply_to_each(cluster, commands)
            except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as exc:
                return exc
            except UnicodeEncodeError as exc:  # of this group alone, found while packing
                return [exc]
            except AttributeError:
                # Another coroutine has closed this very connection (redis-py 8.1, see above).
                return exceptions.ConnectionError("the connection was closed")


async def _reply_to_each(cluster: RedisCluster, commands: Calls) -> Replies:
    replies: Replies = []
    wires = [command.wire() for command in commands]
    while len(replies) < len(commands):
        at = len(replies)
        reply = await _reply_or_error(cluster, wires[at])
        if isinstance(reply, exceptions.NoScriptError):
            reply = await _reply_or_error(cluster, commands[at].wire_with_source())
        replies.append(reply)
        if has_wait_behind(wires, at):
            replies += await _replies_to_wait(cluster, wires[at : at + 3])
    return replies


async def _replies_to_wait(cluster: RedisCluster, wires: Sequence[Wire]) -> Replies:
    # WAIT counts the writes of its own connection, so the command goes once more, on the same one.
    node = cluster.get_node_from_key(str(wires[1][1]))
    if node is None:  # only ever of replicas
        return [None, None]
    calls = [PipelineCommand(at, *wire) for at, wire in enumerate(wires)]
    await node.execute_pipeline(calls)
    for call in calls:
        if isinstance(call.result, exceptions.ConnectionError | exceptions.TimeoutError | OSError):
            raise call.result
    is_moved = isinstance(calls[0].result, Exception)
    return [None, None] if is_moved else [call.result for call in calls[1:]]


async def _close(cluster: RedisCluster) -> None:
    with suppress(exceptions.RedisError, OSError):
        await cluster.aclose()
    # redis-py 8.1: that did nothing if a connection was lost.
    for nodes in ("nodes_cache", "startup_nodes"):
        with suppress(exceptions.RedisError, OSError):
            await cluster.nodes_manager.aclose(nodes)


async def _reply_or_error(cluster: RedisCluster, wire: Wire) -> object:
    try:
        reply: object = await cluster.execute_command(*wire)
    except exceptions.ResponseError as exc:
        return exc
    return reply


Client = ServerClient | ClusterClient


def new_client(where: Endpoint, *, timeout_s: float) -> Client:
    """A client that connects with its first exchange."""
    never = Retry(NoBackoff(), 0)
    if where.mode == "cluster":
        return ClusterClient(partial(_new_cluster, where, never), label=where.label)
    if where.mode == "sentinel":
        sentinel_options = where.sentinel_options() | {"retry": never}
        sentinel = Sentinel(where.sentinels, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
        options = {k: v for k, v in where.options.items() if k not in ("host", "port")}
        master = sentinel.master_for(where.sentinel_master, retry=never, **options)  # type: ignore[arg-type]
        return ServerClient(master, timeout_s=timeout_s, sentinel=sentinel)
    client = Redis(retry=never, **where.options)  # type: ignore[arg-type]
    return ServerClient(client, timeout_s=timeout_s)


def _new_cluster(where: Endpoint, retry: Retry) -> RedisCluster:
    seeds = [ClusterNode(*node) for node in seen_nodes(where.label)]
    return RedisCluster(retry=retry, startup_nodes=seeds, **where.cluster_options())  # type: ignore[arg-type]


def _in_groups(replies: Replies, groups: Sequence[Calls]) -> list[Replies]:
    rest = iter(replies)
    return [list(islice(rest, len(commands))) for commands in groups]

"""The blocking executor of calls."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TypeAlias, TypeVar, overload

from redis import Redis, RedisCluster, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from memory.errors import MemoryUnavailable
from memory.redis.cluster_client import cluster_client
from memory.redis.command import Argument, Command
from memory.redis.endpoint import DEFAULT_MAX_CONNECTIONS, Endpoint, endpoint
from memory.redis.failures import Attempts, log_failures, refused, translating
from memory.redis.replicas import ReplicaWait, has_wait_behind
from memory.redis.round_trip import RoundTrip
from memory.redis.server_connections import ServerConnections
from memory.settings import MemorySettings

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

_Client: TypeAlias = ServerConnections | RedisCluster

PIPELINE_CALLS = 256
"""A longer series is sent in parts, so that neither side has to buffer all of it."""


class Connection:
    """Sends calls to Redis and waits for the answers, from any number of threads.

    Nothing is sent before the first call. It may be used after a fork, and again after `close`.
    Every method raises only `MemoryServiceError`s, within about twice `REDIS_TIMEOUT` (looking
    up the host's name excepted, which no client can bound).
    """

    def __init__(
        self,
        settings: MemorySettings,
        *,
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        new_client: Callable[[Endpoint], Redis | RedisCluster] | None = None,
    ) -> None:
        """`new_client` makes the client instead of redis-py, such as one of fakeredis.

        InvalidInput where the settings contradict each other.
        """
        self.timeout_s = settings.timeout_s
        self.endpoint = endpoint(settings, max_connections=max_connections)
        self._replica_wait = ReplicaWait.of(settings, self.endpoint.label)
        self._new_client = new_client or _new_client
        self._client: _Client | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @property
    def label(self) -> str:
        """The server, as messages name it: no credentials."""
        return self.endpoint.label

    @property
    def is_cluster(self) -> bool:
        """Whether it is a Redis Cluster, where calls go to several servers."""
        return self.endpoint.mode == "cluster"

    def run(self, command: Command[T]) -> T:
        """The result of one call."""
        return command.parse(self._ask((command,))[0])

    @overload
    def run_all(self, first: Command[A], second: Command[B], /) -> tuple[A, B]: ...
    @overload
    def run_all(
        self, first: Command[A], second: Command[B], third: Command[C], /
    ) -> tuple[A, B, C]: ...
    def run_all(self, *commands: Command[object]) -> tuple[object, ...]:
        """The results of some calls that are sent together, in this order, not atomically.

        An error reply to one does not keep Redis from running the next; the first error is
        raised. On a cluster they are sent one after the other.
        """
        return tuple(self.run_each(commands))

    def run_last(self, *commands: *tuple[*tuple[Command[object], ...], Command[T]]) -> T:
        """The result of the last of some calls that are sent together, in this order.

        Only its own answer counts: what fails of the others is logged.
        """
        *others, last = commands
        replies = self._ask(commands, deciding=1)
        log_failures(others, replies[:-1], self.label)
        return last.parse(replies[-1])

    def run_each(self, commands: Sequence[Command[T]]) -> list[T]:
        """`run_all` for any number of calls of one kind, sent in parts of 256."""
        results: list[T] = []
        for start in range(0, len(commands), PIPELINE_CALLS):
            part = commands[start : start + PIPELINE_CALLS]
            replies = self._ask(part)
            results += [command.parse(reply) for command, reply in zip(part, replies, strict=True)]
        return results

    def run_on_every_server(self, *commands: Command[T]) -> list[T]:
        """The result of each primary of a cluster, by name; of the one server otherwise.

        One command for all of them, or as many as there are.
        """
        replies = self._insist(lambda client: _ask_every_server(client, commands), commands)
        asked = zip(cycle(commands), replies, strict=False)  # one may be for all
        return [command.parse(reply) for command, reply in asked]

    def close(self) -> None:
        """Close all connections. Safe to repeat; the next call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        # Outside the lock, which another thread may want in order to open a new one.
        if client is not None:
            with translating(self.label):
                client.close()

    def _ask(
        self, commands: Sequence[Command[object]], deciding: int | None = None
    ) -> list[object]:
        """The replies. An error among the last `deciding` of them (None: among all) is raised."""
        wait = self._replica_wait
        sent = commands if wait is None else wait.sent(commands)
        if deciding is not None:
            deciding += len(sent) - len(commands)
        replies = self._insist(lambda client: _exchange(client, sent), sent, deciding)
        return replies if wait is None else wait.own(commands, sent, replies)

    def _insist(
        self,
        send: Callable[[_Client], list[object]],
        commands: Sequence[Command[object]],
        deciding: int | None = None,
    ) -> list[object]:
        """What `send` gives; tried again while Redis is away."""
        attempts = Attempts(self.timeout_s)
        while True:
            try:
                with translating(self.label), RoundTrip():
                    replies = send(self._connected())
                self._raise_first(commands, replies, deciding)
                return replies
            except MemoryUnavailable:
                # It may have been executed; sent again it does no harm.
                delay_s = attempts.next_delay_s()
                if delay_s is None:
                    raise
                time.sleep(delay_s)

    def _raise_first(
        self, commands: Sequence[Command[object]], replies: list[object], deciding: int | None
    ) -> None:
        # Each server of a cluster may answer the one command.
        asked = [*commands, *[commands[-1]] * (len(replies) - len(commands))]
        first = 0 if deciding is None else len(replies) - deciding
        for command, reply in zip(asked[first:], replies[first:], strict=True):
            if isinstance(reply, Exception) and not command.tolerates(reply):
                raise refused(command, reply, self.label)

    def _connected(self) -> _Client:
        if self._pid != os.getpid():
            # After a fork: the sockets belong to the parent, and the lock may be held for ever.
            self._lock, self._client = threading.Lock(), None
            self._pid = os.getpid()
        client = self._client
        if client is None:
            with self._lock:
                client = self._client
                if client is None:
                    made = self._new_client(self.endpoint)
                    client = made if isinstance(made, RedisCluster) else ServerConnections(made)
                    self._client = client
        return client


class _SentinelRedis(Redis):
    """The master that some Sentinels know; their clients are closed with it."""

    sentinels: Sentinel | None = None

    def close(self) -> None:
        super().close()
        if self.sentinels is not None:
            self.sentinels.close()


def _new_client(where: Endpoint) -> Redis | RedisCluster:
    """A client that never tries again by itself. One of a cluster connects here, others do not."""
    never = Retry(NoBackoff(), 0)
    if where.mode == "cluster":
        return cluster_client(where, never)
    if where.mode == "sentinel":
        return _sentinel_client(where, never)
    return Redis(retry=never, **where.options)  # type: ignore[arg-type]


def _sentinel_client(where: Endpoint, retry: Retry) -> _SentinelRedis:
    make: Callable[..., Sentinel] = Sentinel
    sentinel = make(where.sentinels, sentinel_kwargs=where.sentinel_options() | {"retry": retry})
    options = {k: v for k, v in where.options.items() if k not in ("host", "port")}
    open_master: Callable[..., _SentinelRedis] = sentinel.master_for
    client = open_master(where.sentinel_master, redis_class=_SentinelRedis, retry=retry, **options)
    client.sentinels = sentinel
    return client


def _exchange(
    client: ServerConnections | RedisCluster, commands: Sequence[Command[object]]
) -> list[object]:
    replies = _send(client, [command.wire() for command in commands])
    for index, reply in enumerate(replies):
        if isinstance(reply, exceptions.NoScriptError):
            # Redis forgot its scripts (a restart, a fail-over). What came after is sent once
            # more, so that the order holds; every call is safe to repeat.
            again = [command.wire_with_source() for command in commands[index:]]
            replies[index:] = _send(client, again)
            break
    return replies


def _ask_every_server(client: _Client, commands: Sequence[Command[object]]) -> list[object]:
    wires = [command.wire() for command in commands]
    if not isinstance(client, RedisCluster):
        return _send(client, wires)
    # Their replicas would count each key again.
    nodes = sorted(client.get_primaries(), key=lambda node: node.name)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    asked = zip(cycle(wires), nodes, strict=False)  # one may be for all
    return [_send_one(client, wire, target_nodes=node) for wire, node in asked]


def _send(
    client: ServerConnections | RedisCluster, wires: Sequence[tuple[Argument, ...]]
) -> list[object]:
    """One reply for each; an error reply is a value of the list."""
    if isinstance(client, ServerConnections):
        return client.exchange(wires)
    replies: list[object] = []
    while len(replies) < len(wires):
        at = len(replies)
        replies.append(_send_one(client, wires[at]))
        if has_wait_behind(wires, at):
            # On a connection of the node: WAIT knows only what was written on its own. With the
            # command once more, for another node may have become the master since.
            node = client.get_node_from_key(str(wires[at + 1][1]))  # type: ignore[no-untyped-call]
            with client.get_redis_connection(node).pipeline(transaction=False) as together:
                for wire in wires[at : at + 3]:
                    together.execute_command(*wire)  # type: ignore[no-untyped-call]
                again = together.execute(raise_on_error=False)
            is_moved = isinstance(again[0], Exception)
            replies += [None, None] if is_moved else again[1:]
    return replies


def _send_one(client: RedisCluster, wire: tuple[Argument, ...], **options: object) -> object:
    try:
        return client.execute_command(*wire, **options)  # type: ignore[no-untyped-call]
    except exceptions.ResponseError as exc:
        return exc

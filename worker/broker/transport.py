"""Kombu's Redis transport, hardened: no reply and no message of the broker ends a worker.

Every class and function here works around something in kombu 5.7.0 or celery 5.7.0, named at its
place; tests/unit/structure/test_versions.py fails when either changes, so that each is looked at
again.
"""

# mypy: allow-untyped-calls
# Kombu says it is typed, but its transports are not.

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from queue import Empty
from typing import ClassVar

import redis
from kombu.asynchronous.hub import Hub
from kombu.transport import TRANSPORT_ALIASES, _transport_cache
from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from redis.backoff import NoBackoff
from redis.retry import Retry

from memory.priority import ClassTurns, Shares
from tasks.job.priority import LISTS
from worker.broker.broadcasts import BroadcastChannel
from worker.broker.certificates import require_certificates
from worker.broker.compression import bound_decompression
from worker.broker.messages import (
    KEPT_BYTES,
    MALFORMED,
    check_size,
    decode_message,
    fault_of,
)
from worker.broker.unacked import QoS, reason

logger = logging.getLogger(__name__)

# kombu's names of a queue's lists end with the number, but for the first.
_CLASS_OF = {
    str(number) if number else "": priority
    for priority, numbers in LISTS.items()
    for number in numbers
}
MOST_BYTES = 16 * 1024 * 1024
"""Of a message, where nobody says how large it may be."""
QUARANTINE_SUFFIX = ".quarantine"
QUARANTINE_MAX_ELEMENTS = 1000
MOST_AT_ONCE = 10
"""Messages that are taken from a list in one step."""
QUARANTINE_TTL_S = 7 * 24 * 3600

# Between two starts of a worker's consumer. When a reachable server refuses (READONLY, NOPERM, ...)
# celery 5.7.0 reconnects at once, and so six times a second with a critical error each time.
RESTART_PAUSE_S = 1.0


def register_transport(most_bytes: int = MOST_BYTES, shares: Shares | None = None) -> None:
    """Let `redis://`, `rediss://` and `sentinel://` mean the classes of this module.

    A message may have `most_bytes`; the classes of wake-ups have these `shares`. For this process,
    and before its first broker connection. Safe to repeat. Replacing kombu's aliases, unlike
    Celery's setting `broker_transport`, leaves the URL's scheme in force: with the setting a bare
    `rediss://` connected in plain text (celery 5.7.0).
    """
    TRANSPORT_ALIASES["redis"] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["rediss"] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"
    for alias in ("redis", "rediss", "sentinel"):
        _transport_cache.pop(alias, None)
    BroadcastChannel.most_bytes = most_bytes
    Channel.shares = shares or Shares()
    bound_decompression(most_bytes)
    require_certificates()


class Channel(BroadcastChannel):
    """A channel that puts aside what it cannot decode and survives its connection's end."""

    QoS = QoS
    shares: ClassVar[Shares] = Shares()
    """Of the messages that it takes, how many are of each class while all of them have some."""

    @cached_property
    def _class_turns(self) -> ClassTurns:
        return ClassTurns(self.shares)

    # The client for everything but the blocking read, and the pool that it was made for.
    _shared_client: tuple[redis.ConnectionPool, redis.Redis] | None = None

    def _create_client(self, asynchronous: bool = False) -> redis.Redis:
        # Kombu 5.7.0 makes a client for each command, which was a seventh of a worker's CPU. A
        # client is its pool and a table of callbacks, and safe to share between threads.
        made: redis.Redis
        if asynchronous:
            made = super()._create_client(asynchronous=True)
            return made
        pool, shared = self.pool, self._shared_client
        if shared is not None and shared[0] is pool:
            return shared[1]
        made = super()._create_client()
        self._shared_client = (pool, made)
        return made

    def _connparams(self, asynchronous: bool = False) -> dict[str, object]:
        # Kombu 5.7.0 (celery/celery#10242) closes a channel a second time after a lost
        # connection, when its transport's client is None; reading the host of None then ended
        # the worker. A ConnectionError is expected there and ignored.
        if self.connection is None or self.connection.client is None:
            raise redis.ConnectionError("the connection to the broker is closed")
        params: dict[str, object] = super()._connparams(asynchronous)
        # redis-py 8.1: a bare pool does not retry, a client by host does so ten times. Said
        # here: never. Kombu reconnects and Celery publishes again, each by its own policy.
        params["retry"] = Retry(NoBackoff(), 0)
        return params

    @property
    def supports_batch_publish(self) -> bool:
        """Messages may go out in one pipeline: nothing here sends it a second time. Kombu 5.7.0
        takes any `retry` for one that does, also that of `_connparams`."""
        return True

    def _brpop_start(self, timeout: float | None = None) -> None:
        # As in kombu 5.7.0, which asks for one message at a time (BRPOP) and spends as much on
        # asking as on the rest of receiving. All come in one reply, as many as may be taken.
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        keys = [
            self.global_keyprefix + self._q_for_pri(queue, number)
            for priority in self._class_turns.order()
            for number in LISTS[priority]
            for queue in queues
        ]
        most = self.qos.can_consume_max_estimate() or 1
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()  # type: ignore[assignment]  # kombu says: None
        wait_s = self.brpop_timeout if timeout is None else timeout
        # docs/decisions.md, "Messages are taken ten at a time".
        pop = ("BLMPOP", wait_s or 0, len(keys), *keys, "RIGHT", "COUNT", min(most, MOST_AT_ONCE))
        connection.send_command(*pop)

    def _brpop_read(self, **options: object) -> bool:
        # As in kombu 5.7.0, but for an element that cannot be decoded (celery/celery#4308, #7975).
        try:
            reply = self._read_brpop_reply(**options)
            if not reply:
                self._class_turns.nobody_waits()
                raise Empty
            key, elements = reply
            list_key = bytes_to_str(key).removeprefix(self.global_keyprefix)
            queue, _, number = list_key.partition(self.sep)
            self._class_turns.served(_CLASS_OF[number], len(elements))
            self._queue_cycle.rotate(queue)
            # All are off their list: what one of them raises must not lose those behind it.
            with ExitStack() as handing_over:
                for element in reversed(elements):
                    handing_over.callback(self._hand_over, element, queue)
            return True
        finally:
            self._in_poll = False
            self._flush_brpop_reauth()

    def _read_brpop_reply(self, **options: object) -> tuple[bytes, list[bytes]] | None:
        connection = self.client.connection
        try:
            with _refusals_named():
                reply: tuple[bytes, list[bytes]] | None = self.client.parse_response(
                    connection, "BLMPOP", **options
                )
        except self.connection_errors:
            connection.disconnect()
            raise
        return reply

    def _queue_bind(self, *args: object) -> None:
        with _refusals_named():
            super()._queue_bind(*args)

    def _size(self, queue: str) -> int:
        with _refusals_named():
            return int(super()._size(queue))

    def _hand_over(self, element: bytes, queue: str) -> None:
        """Deliver one element to its consumer, or put it aside if that cannot be done."""
        message: dict[str, object] = {}
        try:
            check_size(element, self.most_bytes)
            message = decode_message(element)
            self.connection._deliver(message, queue)
        except MALFORMED as error:
            logger.error(
                "a message of %d bytes on %r cannot be handled (%s) and was moved to %s%s",
                len(element), queue, fault_of(error), queue, QUARANTINE_SUFFIX,
            )  # fmt: skip
            self._quarantine(element[:KEPT_BYTES], queue)
            self._forget(message)

    def _quarantine(self, element: bytes, queue: str) -> None:
        # Of these commands kombu 5.7.0 adds `global_keyprefix` to LPUSH alone.
        key = queue + QUARANTINE_SUFFIX
        full_key = self.global_keyprefix + key
        try:
            with self.conn_or_acquire() as client, client.pipeline() as pipe:
                pipe.lpush(key, element)
                pipe.ltrim(full_key, 0, QUARANTINE_MAX_ELEMENTS - 1)
                pipe.expire(full_key, QUARANTINE_TTL_S)
                pipe.execute()
        except redis.ResponseError as refusal:
            logger.error(
                "a message is lost, Redis refused to add it to %s: %s", full_key, reason(refusal)
            )

    def _forget(self, message: dict[str, object]) -> None:
        """Take a message that its consumer choked on out of the notes, lest it comes again."""
        properties = message.get("properties")
        tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
        if tag in self.qos._delivered:
            self.qos.reject(tag, requeue=False)


class SentinelChannel(Channel, kombu_redis.SentinelChannel):
    """The same through Redis Sentinel."""


class Transport(kombu_redis.Transport):
    """A transport on which a refused command is answered by reconnecting."""

    Channel = Channel

    # Kombu 5.7.0 has ResponseError (READONLY, OOM, NOPERM, WRONGTYPE, MISCONF, NOREPLICAS ...)
    # among the channel errors, and celery 5.7.0 ends the worker on those unless
    # `broker_channel_error_retry` is set; that setting does not cover the event loop's timers
    # nor acknowledgements. As a connection error it is covered everywhere: the worker
    # reconnects, `delay()` raises kombu's OperationalError after its retries.
    connection_errors = (
        *kombu_redis.Transport.connection_errors,
        redis.ResponseError,
        redis.InvalidResponse,
    )

    # When this process last started to consume, by the monotonic clock.
    _consuming_since_s: ClassVar[float] = float("-inf")
    # What its consumer has the event loop do on each turn.
    _on_each_turn: ClassVar[frozenset[object]] = frozenset()

    def register_with_event_loop(self, connection: object, loop: Hub) -> None:
        """Called by a worker each time it has connected in order to consume."""
        started = Transport._consuming_since_s
        time.sleep(max(0.0, started + RESTART_PAUSE_S - time.monotonic()))
        Transport._consuming_since_s = time.monotonic()
        # Kombu 5.7.0 leaves those of lost connections there for good, and with them transports,
        # channels, sockets and messages: a worker grew by about 150 kB with each reconnection.
        loop.on_tick.difference_update(Transport._on_each_turn)
        others = frozenset(loop.on_tick)
        super().register_with_event_loop(connection, loop)
        Transport._on_each_turn = frozenset(loop.on_tick) - others


class SentinelTransport(Transport, kombu_redis.SentinelTransport):
    """The same through Redis Sentinel."""

    default_port = kombu_redis.SentinelTransport.default_port
    Channel = SentinelChannel


@contextmanager
def _refusals_named() -> Iterator[None]:
    # Celery 5.7.0 logs the repr of what ended a connection; redis-py 8.1's has no message.
    try:
        yield
    except redis.ResponseError as refusal:
        logger.warning(
            "the broker refuses a command; check its memory and the user's rights: %s",
            reason(refusal),
        )
        raise

"""What worker.broker.transport promises, on a real server and without a worker."""

# mypy: allow-untyped-calls
# Kombu says it is typed, but much of it is not.

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.message import Message
from kombu.messaging import Consumer
from kombu.transport import redis as kombu_redis

from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.valkey import ValkeyServer, valkey_binary
from tasks.process.wakeup import WAKEUP_HEADER
from tests.support.faults.celery_messages import (
    MALFORMED,
    UNACCEPTABLE,
    UNDECODABLE,
    element,
    headers,
)
from tests.support.waiting import wait_until
from worker.broker import transport

QUEUE = "jobs"
QUARANTINE = f"{QUEUE}.quarantine"
OPTIONS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}

transport.register_transport()


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """One server for all of this file."""
    with ValkeyServer() as running:
        yield running


@pytest.fixture
def connection(server: ValkeyServer) -> Iterator[Connection]:
    """A connection to the server, which is empty."""
    server.command("FLUSHALL")
    with Connection(server.url(), transport_options=OPTIONS) as opened:
        yield opened


class Inbox:
    """A consumer that keeps what it gets."""

    def __init__(self, connection: Connection, *, prefetch_count: int = 0) -> None:
        self.bodies: list[object] = []
        self.tags: list[object] = []
        self.channel = connection.channel()
        self._connection = connection
        self._consumer = Consumer(
            self.channel,
            [Queue(QUEUE)],
            on_message=self.receive,
            prefetch_count=prefetch_count,
        )
        self._consumer.consume()

    def receive(self, message: Message) -> None:
        """Keep a message without acknowledging it."""
        self.tags.append(message.delivery_tag)
        self.bodies.append(message.payload)

    def drain_until(self, predicate: Callable[[], object], what: str) -> None:
        """Handle events until `predicate()` is true."""

        def drained() -> bool:
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=0.1)
            return bool(predicate())

        wait_until(drained, what=what)


class Choking(Inbox):
    """A consumer that cannot handle anything."""

    def receive(self, message: Message) -> None:
        """Fail as Celery does on a message of a wrong shape."""
        raise TypeError("cannot unpack")


def _text_of(body: object) -> object:
    return body[0][0] if isinstance(body, list) else body


@pytest.mark.parametrize("kind", UNDECODABLE | UNACCEPTABLE)
def test_a_malformed_element_is_put_aside_and_the_next_one_delivered(
    server: ValkeyServer, connection: Connection, kind: str
) -> None:
    """It lies unchanged in the queue's quarantine, for a week."""
    inbox = Inbox(connection)
    server.command("LPUSH", QUEUE, MALFORMED[kind])
    server.command("LPUSH", QUEUE, element("echo", "good"))

    inbox.drain_until(lambda: inbox.bodies, "the good message is delivered")

    assert [_text_of(body) for body in inbox.bodies] == ["good"]
    with redis.Redis.from_url(server.url()) as client:
        assert client.lrange(QUARANTINE, 0, -1) == [MALFORMED[kind]]
        assert 0 < client.ttl(QUARANTINE) <= transport.QUARANTINE_TTL_S
        assert client.hlen("unacked") == 1


def test_a_message_that_its_consumer_chokes_on_is_put_aside(
    server: ValkeyServer, connection: Connection
) -> None:
    """A TypeError in the consumer is the message's fault; it does not come again."""
    inbox = Choking(connection)
    server.command("LPUSH", QUEUE, element("echo", "bad"))

    inbox.drain_until(lambda: server.command("EXISTS", QUARANTINE), "it is put aside")

    assert server.command("HLEN", "unacked") == 0
    assert server.command("ZCARD", "unacked_index") == 0
    assert inbox.channel.qos.can_consume()


class Outage(Inbox):
    """A consumer whose result backend is away when its first message comes."""

    def receive(self, message: Message) -> None:
        """Fail as Celery does when it cannot store that a task is revoked or unknown."""
        super().receive(message)
        if len(self.bodies) == 1:
            raise redis.ConnectionError("the result backend is away")


def test_what_was_taken_together_is_delivered_whatever_one_of_them_raises(
    server: ValkeyServer, connection: Connection
) -> None:
    """The rest is off its list: it would be gone."""
    texts = [f"no. {n}" for n in range(5)]
    for text in texts:
        server.command("LPUSH", QUEUE, element("echo", text))
    inbox = Outage(connection, prefetch_count=10)
    with pytest.raises(redis.ConnectionError, match="result backend"):
        inbox.drain_until(lambda: False, "the error shows")
    assert [_text_of(body) for body in inbox.bodies] == texts
    assert server.command("HLEN", "unacked") == len(texts)


def test_the_quarantine_is_bounded(server: ValkeyServer, connection: Connection) -> None:
    """The oldest elements go."""
    inbox = Inbox(connection)
    full = [f"old {n}" for n in range(transport.QUARANTINE_MAX_ELEMENTS)]
    server.command("RPUSH", QUARANTINE, *full)
    server.command("LPUSH", QUEUE, "new")

    inbox.drain_until(
        lambda: server.command("LINDEX", QUARANTINE, 0) == "new", "the new one is put aside"
    )

    assert server.command("LLEN", QUARANTINE) == transport.QUARANTINE_MAX_ELEMENTS
    assert server.command("LINDEX", QUARANTINE, -1) == full[-2]


def test_a_key_prefix_holds_for_the_quarantine(server: ValkeyServer) -> None:
    """`global_keyprefix` stands before every one of its commands."""
    server.command("FLUSHALL")
    options = {**OPTIONS, "global_keyprefix": "app:"}
    with Connection(server.url(), transport_options=options) as connection:
        inbox = Inbox(connection)
        server.command("LPUSH", f"app:{QUEUE}", "not JSON")
        inbox.drain_until(lambda: server.command("EXISTS", f"app:{QUARANTINE}"), "it is put aside")

    assert int(str(server.command("TTL", f"app:{QUARANTINE}"))) > 0
    assert server.command("EXISTS", QUARANTINE) == 0


def test_a_quarantine_that_is_refused_costs_the_element_only(
    server: ValkeyServer, connection: Connection
) -> None:
    """The consumer goes on."""
    inbox = Inbox(connection)
    server.command("SET", QUARANTINE, "not a list")
    server.command("LPUSH", QUEUE, "not JSON")
    server.command("LPUSH", QUEUE, element("echo", "good"))

    inbox.drain_until(lambda: inbox.bodies, "the good message is delivered")


def test_a_message_whose_note_is_refused_is_delivered(
    server: ValkeyServer, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """It is off its list: refusing it would lose it. The log names the reason, not the message."""
    inbox = Inbox(connection)
    server.command("ACL", "SETUSER", "default", "-hset")
    try:
        server.command("LPUSH", QUEUE, element("echo", "good"))
        inbox.drain_until(lambda: inbox.bodies, "it is delivered")
    finally:
        server.command("ACL", "SETUSER", "default", "+hset")

    assert "no permissions" in caplog.text
    assert '"body"' not in caplog.text
    assert server.command("HLEN", "unacked") == 0


def test_an_acknowledgement_that_fails_gives_its_place_free(
    server: ValkeyServer, connection: Connection
) -> None:
    """The error is raised, and the next message can be taken."""
    inbox = Inbox(connection, prefetch_count=1)
    server.command("LPUSH", QUEUE, element("echo", "good"))
    inbox.drain_until(lambda: inbox.bodies, "it is delivered")
    assert not inbox.channel.qos.can_consume()

    server.command("ACL", "SETUSER", "default", "-zrem")
    try:
        with pytest.raises(redis.exceptions.NoPermissionError):
            inbox.channel.basic_ack(inbox.tags[0])
    finally:
        server.command("ACL", "SETUSER", "default", "+zrem")

    assert inbox.channel.qos.can_consume()


def test_a_wakeup_is_let_go_in_any_thread_while_the_next_one_may_come(
    server: ValkeyServer, connection: Connection
) -> None:
    """Beyond half of what may be taken the consumer is woken for it, to take the next; what was
    noted is its thread's alone."""
    inbox = Inbox(connection, prefetch_count=4)
    for is_wakeup in (True, True, False):
        told = headers("echo", **{WAKEUP_HEADER: is_wakeup})
        server.command("LPUSH", QUEUE, element("echo", "good", headers=told))
    inbox.drain_until(lambda: len(inbox.tags) == 3, "all are delivered")
    qos, (first, second, noted) = inbox.channel.qos, inbox.tags
    assert not qos.let_go(first)
    inbox.channel.basic_ack(first)
    inbox.channel.basic_ack(noted)
    assert qos.let_go(second)
    assert not qos.let_go(second)
    server.command("LPUSH", QUEUE, element("echo", "good"))
    inbox.drain_until(lambda: len(inbox.tags) == 4, "the next is delivered")
    assert not qos.let_go(inbox.tags[3])
    assert server.command("HLEN", "unacked") == 1


def test_a_channel_without_a_connection_raises_what_is_expected_of_it(
    connection: Connection,
) -> None:
    """A ConnectionError, which celery ignores when it closes a channel twice."""
    channel = connection.channel()
    broker_transport = channel.connection
    broker_transport.client = None
    try:
        with pytest.raises(redis.ConnectionError, match="closed"):
            channel._connparams()
    finally:
        broker_transport.client = connection


def test_nothing_is_retried_behind_kombus_back(connection: Connection) -> None:
    """The number of retries is said, and it is none."""
    assert connection.channel()._connparams()["retry"].get_retries() == 0


def test_what_is_published_together_takes_one_trip(
    server: ValkeyServer, connection: Connection
) -> None:
    """A gateway publishes the wake-ups of many requests so; one by one cost a fifth of its CPU."""
    with connection.Producer() as producer:
        producer.publish("warm", routing_key=QUEUE)
        before = _commands(server)
        with producer.batch():
            for number in range(20):
                producer.publish(str(number), routing_key=QUEUE)
            assert _commands(server)["lpush"] == before["lpush"]
    assert _commands(server)["lpush"] == before["lpush"] + 20


def _commands(server: ValkeyServer) -> dict[str, int]:
    """How often each command was called."""
    with redis.Redis.from_url(server.url()) as client:
        found = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): one["calls"] for name, one in found.items()}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host", transport.Transport),
        ("rediss://host", transport.Transport),
        ("sentinel://host", transport.SentinelTransport),
    ],
)
def test_the_schemes_mean_the_hardened_classes(url: str, expected: type) -> None:
    """Nobody has to name the transport."""
    found = Connection(url).get_transport_cls()

    assert found is expected
    assert issubclass(found, kombu_redis.Transport)
    assert redis.ResponseError in found.connection_errors


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ssl.CERT_REQUIRED),
        ("?ssl_cert_reqs=required", ssl.CERT_REQUIRED),
        ("?ssl_cert_reqs=optional", ssl.CERT_OPTIONAL),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE),
    ],
)
def test_certificates_are_checked_unless_told_otherwise(
    query: str, expected: ssl.VerifyMode, caplog: pytest.LogCaptureFixture
) -> None:
    """`rediss://` is secure by default, in a copy of the connection too."""
    connection = Connection(f"rediss://host{query}").clone()

    assert connection.ssl["ssl_cert_reqs"] == expected
    assert "insecure" not in caplog.text


def test_plain_redis_stays_plain() -> None:
    """`redis://` has no TLS."""
    assert not Connection("redis://host").ssl


def test_it_works_through_a_real_sentinel(server: ValkeyServer, tmp_path: Path) -> None:
    """Malformed and good messages alike."""
    port = free_port()
    conf = tmp_path / "sentinel.conf"
    conf.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor griot 127.0.0.1 {server.port} 1\n"
    )
    command = (valkey_binary(), conf, "--sentinel")
    server.command("FLUSHALL")
    with ServerProcess(command, log_path=tmp_path / "sentinel.log") as sentinel:
        sentinel.wait_ready(lambda: "+monitor" in sentinel.log_text())
        with Connection(
            f"sentinel://127.0.0.1:{port}", transport_options={**OPTIONS, "master_name": "griot"}
        ) as connection:
            inbox = Inbox(connection)
            server.command("LPUSH", QUEUE, "not JSON")
            server.command("LPUSH", QUEUE, element("echo", "good"))
            inbox.drain_until(lambda: inbox.bodies, "the good message arrives")

    assert server.command("LLEN", QUARANTINE) == 1


def test_lists_are_read_by_the_shares_of_their_classes(
    server: ValkeyServer, connection: Connection
) -> None:
    """An urgent wake-up overtakes a crowd, and the crowd moves meanwhile."""
    lists = {"urgent": f"{QUEUE}\x06\x166", "plain": QUEUE, "later": f"{QUEUE}\x06\x169"}
    for number in range(120):
        for name, key in lists.items():
            server.command("LPUSH", key, element("echo", f"{name} {number}"))
    inbox = Inbox(connection, prefetch_count=1)

    def take_one() -> str:
        count = len(inbox.bodies)
        inbox.drain_until(lambda: len(inbox.bodies) > count, "the next is delivered")
        inbox.channel.basic_ack(inbox.tags[-1])
        return str(_text_of(inbox.bodies[-1]))

    taken = [take_one() for _ in range(100)]
    counted = {name: sum(one.startswith(name) for one in taken) for name in lists}
    assert counted == {"urgent": 80, "plain": 15, "later": 5}
    for name in lists:
        assert [one for one in taken if one.startswith(name)] == [
            f"{name} {number}" for number in range(counted[name])
        ]

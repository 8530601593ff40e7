"""What a worker puts into another queue: into another deployment's, or into the quarantine."""

# mypy: allow-untyped-calls
# Kombu says it is typed, but much of it is not.

from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest
from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.message import Message

import celeryconfig
from sandbox.proxy import Proxy
from sandbox.valkey import ValkeyServer
from tests.support.servers.rabbitmq import RabbitServer, rabbitmq_binary
from tests.support.waiting import wait_until
from worker.broker import transport
from worker.broker.foreign import send_home
from worker.broker.rabbitmq import set_aside

transport.register_transport()

THEIRS = "staging.chat"
HEADERS = {"id": "a", "task": "tasks.chat_task"}
Act = Callable[[Celery, Message], None]


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def way(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Proxy, str]]:
    """A way to a broker that can break, and the broker's address by that way."""
    if request.param == "redis":
        with ValkeyServer() as server, Proxy(server.port) as proxy:
            yield proxy, f"redis://127.0.0.1:{proxy.port}/0"
        return
    if rabbitmq_binary() is None:
        pytest.skip("no rabbitmq-server on the PATH (Debian: rabbitmq-server)")
    with RabbitServer(tmp_path_factory.mktemp("rabbit")) as rabbit, Proxy(rabbit.port) as proxy:
        yield proxy, rabbit.url.replace(str(rabbit.port), str(proxy.port))


@pytest.fixture
def app(way: tuple[Proxy, str]) -> Iterator[Celery]:
    """An app of that broker that publishes as ours does; the others' queue is empty."""
    with Celery(broker=way[1], set_as_current=False) as made:
        made.conf.task_publish_retry_policy = celeryconfig.task_publish_retry_policy
        with made.connection_for_write() as connection:
            channel = connection.default_channel
            Queue(THEIRS)(channel).declare()
            channel.queue_purge(THEIRS)
        yield made


def message(queue: str = "chat") -> Message:
    """One that came out of a queue."""
    return Message(
        b'{"a": 1}',
        delivery_tag="1",
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={"routing_key": queue},
        properties={"correlation_id": "c"},
        headers=HEADERS,
        channel=Mock(),
    )


def held(app: Celery, queue: str) -> int:
    """How many messages are in a queue."""
    with app.connection_for_read() as connection:
        return int(connection.default_channel.queue_declare(queue, passive=True).message_count)


def taken(connection: Connection, queue: str) -> Message | None:
    """The next message of a queue, None if it is empty."""
    found: Message | None = Queue(queue)(connection.default_channel).get(no_ack=True)
    return found


@pytest.mark.parametrize(
    ("act", "queue"),
    [
        (lambda app, message: send_home(app, message, "staging"), THEIRS),
        (lambda app, message: set_aside(app, message, ValueError()), "chat.quarantine"),
    ],
    ids=["home", "quarantine"],
)
def test_a_message_arrives_by_a_connection_that_has_died_in_celerys_pool(
    app: Celery, way: tuple[Proxy, str], act: Act, queue: str
) -> None:
    """Servers and firewalls close what is idle; the message is as it was."""
    proxy, _ = way
    for number in (1, 2):
        sent = message()
        act(app, sent)
        assert sent.acknowledged
        wait_until(lambda number=number: held(app, queue) == number, what="it is there")  # type: ignore[misc]  # bound now
        assert proxy.drop_connections() > 0
    with app.connection_for_read() as connection:
        found = [taken(connection, queue) for _ in range(3)]
    assert found.pop() is None
    for got in found:
        assert got is not None
        assert (got.payload, got.headers) == ({"a": 1}, HEADERS)
        assert got.properties["correlation_id"] == "c"


def test_a_quarantine_that_was_removed_is_made_anew(app: Celery) -> None:
    """RabbitMQ says nothing of a message for a queue that is not there."""
    for _ in range(2):
        set_aside(app, message("queue"), ValueError())
        with app.connection_for_read() as connection:
            assert taken(connection, "queue.quarantine") is not None
            connection.default_channel.queue_delete("queue.quarantine")

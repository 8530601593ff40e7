"""Wake-ups that are published past Celery are those that Celery would have published."""

import base64
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import redis
from celery import signals

from memory import Keyspace, Priority
from sandbox.valkey import ValkeyServer
from tasks.process.app import app
from tasks.process.publishing import straight as straight_module
from tasks.process.publishing.straight import straight
from tasks.process.wakeup import publish, publish_together, wake_job, wakeup_kwargs

TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
OWN = ("delivery_tag", "griot_due_at")
"""What each message has of its own; each is looked at for itself."""


@dataclass(frozen=True)
class Sent:
    """A wake-up that is sent in both ways."""

    session_id: str = "s1"
    max_history: int | None = None
    options: dict[str, object] = field(default_factory=dict)
    trace: dict[str, str] | None = None
    priority: Priority | None = None

    def publish(self, job_id: str) -> None:
        """Publish it."""
        kwargs = wakeup_kwargs(Keyspace().session("energy", self.session_id), self.max_history)
        publish(app, job_id, kwargs, self.options, trace=self.trace, priority=self.priority)


@pytest.fixture(autouse=True)
def _broker(valkey: ValkeyServer) -> Iterator[None]:
    """An empty broker, and a process that has published nothing."""
    valkey.command("FLUSHALL")
    straight.forget()
    yield
    straight.forget()


@pytest.fixture
def as_celery(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has Celery publish from then on."""
    return lambda: monkeypatch.setattr(straight_module, "_somebody_listens", lambda: True)


def queued(valkey: ValkeyServer) -> dict[str, list[str]]:
    """The elements of all lists of the broker, by key."""
    with redis.Redis.from_url(valkey.url(1), decode_responses=True) as broker:
        keys = [key for key in broker.scan_iter() if not key.startswith("_kombu")]
        return {key: broker.lrange(key, 0, -1) for key in keys}


def parts(element: str) -> tuple[list[object], dict[str, object]]:
    """The message in its order, without what each has of its own; and that."""
    message = json.loads(element)
    message["body"] = base64.b64decode(message["body"]).decode()
    own = {
        name: place.pop(name)
        for name in OWN
        for place in (message["headers"], message["properties"])
        if name in place
    }
    return [json.dumps(message), list(own)], own


@pytest.mark.parametrize(
    "sent",
    [
        Sent(),
        Sent(session_id='100 % "é\\" \U0001f600 \x7f'),
        Sent(max_history=20),
        Sent(options={"queue": "chat"}),
        Sent(options={"queue": "fast%s"}),
        Sent(options={"root_id": "r1", "link": [{"task": "t"}], "group_id": "g"}),
        Sent(priority=Priority.INTERACTIVE),
        Sent(priority=Priority.BATCH, max_history=0),
        Sent(trace=TRACE),
        Sent(trace={"traceparent": "none"}),
    ],
    ids=str,
)
def test_a_message_is_celerys_to_the_byte(
    valkey: ValkeyServer, as_celery: Callable[[], None], sent: Sent
) -> None:
    """In the same list, whatever differs from message to message."""
    sent.publish("other")  # from which the shape is taken
    valkey.command("FLUSHALL")
    sent.publish("j1")
    assert any(straight()._prepared.values())
    (key, (element,)), *_ = queued(valkey).items()
    valkey.command("FLUSHALL")
    as_celery()
    sent.publish("j1")
    (their_key, (theirs,)), *_ = queued(valkey).items()
    assert key == their_key
    (ours, own), (expected, their_own) = parts(element), parts(theirs)
    assert ours == expected
    assert len(str(own["delivery_tag"])) == 36
    assert own.keys() == their_own.keys()
    assert own["delivery_tag"] != their_own["delivery_tag"]


def test_several_take_one_trip_and_each_has_a_tag_of_its_own(valkey: ValkeyServer) -> None:
    """As a gateway sends them."""
    kwargs = wakeup_kwargs(Keyspace().session("energy", "s1"), None)
    publish_together(app, [(job_id, kwargs, None, None) for job_id in ("j1", "j2", "j3")])
    (elements,) = queued(valkey).values()
    messages = [json.loads(element) for element in elements]
    assert [one["headers"]["id"] for one in messages] == ["j3", "j2", "j1"]
    assert len({one["properties"]["delivery_tag"] for one in messages}) == 3


@pytest.mark.parametrize(
    "options", [{"headers": {"tenant": "a"}}, {"reply_to": "r"}, {"compression": "zlib"}], ids=str
)
def test_celery_publishes_what_has_options_of_its_own(
    valkey: ValkeyServer, options: dict[str, object]
) -> None:
    """They are in the message."""
    Sent(options=options).publish("j1")
    assert not straight()._prepared
    (element,) = queued(valkey)["chat"]
    wanted = ('"tenant": "a"', '"reply_to": "r"', "application/x-gzip")
    assert sum(one in element for one in wanted) == 1


def test_who_listens_to_celerys_signals_sees_each_message(valkey: ValkeyServer) -> None:
    """And may change it: a tracing library does."""
    seen = []

    def change(headers: dict[str, object], **_: object) -> None:
        seen.append(headers["id"])
        headers["tenant"] = "a"

    Sent().publish("j1")
    signals.before_task_publish.connect(change, weak=False)
    try:
        Sent().publish("j2")
    finally:
        signals.before_task_publish.disconnect(change)
    Sent().publish("j3")
    assert seen == ["j2"]
    (elements,) = queued(valkey).values()
    assert ["tenant" in element for element in elements] == [False, True, False]


def test_a_message_that_kombu_changes_is_left_to_it(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as compressed ones, by Celery's setting."""
    monkeypatch.setitem(app.conf, "task_compression", "zlib")
    monkeypatch.delitem(vars(app.amqp), "send_task_message", raising=False)
    try:
        Sent().publish("j1")
        Sent().publish("j2")
    finally:
        del app.amqp.send_task_message
    assert list(straight()._prepared.values()) == [None]
    (elements,) = queued(valkey).values()
    named = [json.loads(one)["headers"]["compression"] for one in elements]
    assert named == ["application/x-gzip"] * 2


def test_the_queue_is_declared_as_celery_declares_it(valkey: ValkeyServer) -> None:
    """Monitors look there."""
    Sent(options={"queue": "unseen"}).publish("j1")
    with redis.Redis.from_url(valkey.url(1)) as broker:
        assert broker.smembers("_kombu.binding.unseen")


def test_a_process_remembers_a_bounded_number_of_shapes(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender may name any queue."""
    monkeypatch.setattr(straight_module, "MOST_SHAPES", 3)
    for number in range(8):
        Sent(options={"queue": f"q{number}"}).publish("j1")
    assert len(straight()._prepared) <= 3
    assert len(queued(valkey)) == 8


@pytest.mark.parametrize("is_known", [True, False])
def test_a_wake_up_that_the_broker_does_not_take_is_left_to_the_sweeper(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture, is_known: bool
) -> None:
    """Whether or not the process has published one before."""
    if is_known:
        Sent().publish("j0")
    valkey.kill()
    try:
        with caplog.at_level(logging.WARNING):
            keys = Keyspace().session("energy", "s1")
            assert not wake_job(app, keys, "j1", None)
    finally:
        valkey.restart()
    assert "the wake-up of job j1 was not published; the sweeper will publish it" in caplog.text
    assert "REDIS_URL" not in caplog.text, "that is the memory's"
    Sent().publish("j2")
    assert sum(map(len, queued(valkey).values())) == 1 + is_known

"""RabbitMQ as the broker and Redis for the rest: killed, frozen, handed what is no message."""

import json
import shutil
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from amqp.basic_message import Message
from kombu.connection import Connection

from sandbox.process import ServerProcess
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.servers.rabbitmq import RabbitServer, rabbitmq_binary
from tests.support.servers.tls_rig import Authority, TlsDoor
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        rabbitmq_binary() is None,
        reason="no rabbitmq-server on the PATH (Debian: rabbitmq-server)",
    ),
]

JOBS, SESSIONS = 20, 10
RECONNECTED_S = 20.0
"""Celery tries to reconnect after 2, 4, 6 … seconds."""

# A process of its own: the producer in this one knows Redis as its broker.
PRODUCER = """
import json, sys
from tasks import chat_task
jobs, sessions = int(sys.argv[1]), sys.argv[2:]
sent = []
for number in range(jobs):
    for session in sessions:
        message = f"{session} no. {number}"
        job = chat_task.delay("energy", session, message, model="delay:200ms")
        sent.append((session, job.id, message))
print(json.dumps(sent))
"""

PING = """
from tasks import app
with app.connection_for_write() as connection:
    connection.connect()
    print("there")
"""

OTHER = "staging"
# Two jobs: one in its own queue, and one in a queue that the other deployment consumes.
ANSWERS = """
import json
from tasks import app, chat_task
sent = [
    chat_task.apply_async(("energy", f"of-{queue}", "hello"), {"model": "instant"}, queue=queue)
    for queue in ("chat", "shared")
]
for job in sent:
    job.get(timeout=60)
queues = app.control.inspect(timeout=5).active_queues() or {}
print(json.dumps({
    "states": [job.state for job in sent],
    "nodes": [node.partition("@")[0] for node in queues],
    "queues": sorted(one["name"] for found in queues.values() for one in found),
}))
"""

CHAT = {"task": "tasks.chat_task", "id": "a"}
MALFORMED: Mapping[str, tuple[bytes, Mapping[str, object]]] = {
    "not JSON": (b"hello", CHAT),
    "empty": (b"", CHAT),
    "not UTF-8": (b"\xff", CHAT),
    "a number": (b"7", CHAT),
    "too short": (b"[[],{}]", CHAT),
    "a list where the callbacks should be": (b'[["e","s","n"],{},[1,2]]', CHAT),
    "wrong time limits": (b"[[],{},{}]", {**CHAT, "timelimit": 5}),
    "an unknown compression": (b"[[],{},{}]", {**CHAT, "compression": "magic"}),
    "a wrong compression": (b"[[],{},{}]", {**CHAT, "compression": "gzip"}),
    "a task of a wrong type": (b"[[],{},{}]", {"task": [1], "id": "a"}),
    "an id of a wrong type": (b"[[],{},{}]", {**CHAT, "id": 7}),
    "no id": (b"[[],{},{}]", {"task": "tasks.chat_task"}),
    "no headers": (b"x", {}),
    "nested too deeply": (b"[" * 5000, CHAT),
    "too large": (b'[["a","b","' + b"x" * 6_000_000 + b'"],{},{}]', CHAT),
    "too large when it is decompressed": (
        zlib.compress(b"x" * 50_000_000, 1),
        {**CHAT, "compression": "gzip"},
    ),
    "a name of 100 kB": (b"[[],{},{}]", {**CHAT, "shadow": "x" * 100_000}),
}


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ of the module's own."""
    with RabbitServer(tmp_path_factory.mktemp("rabbit")) as server:
        yield server


@pytest.fixture(scope="module")
def worker(rig: Rig, rabbit: RabbitServer) -> ServerProcess:
    """A worker that consumes from it, also from a queue that is not its deployment's alone."""
    queues = ("-Q", "chat,celery,shared")
    return rig.worker(*queues, name="of-rabbit", CELERY_BROKER_URL=rabbit.url)


def test_two_hundred_jobs_through_the_brokers_death(
    rig: Rig, rabbit: RabbitServer, worker: ServerProcess, sender: Sender
) -> None:
    """Killed in mid-work, away for 4 s: the worker goes on, in order, and obeys remote control."""
    _send(rig, rabbit, sender)
    rig.wait_calls(SESSIONS)
    rabbit.kill()
    said = len(worker.log_text())
    wait_until(
        lambda: worker.log_text()[said:].count("Cannot connect") >= 3,  # after 4 more seconds
        what="the worker finds no broker",
    )
    rabbit.start()
    rig.check(sender, timeout_s=RECONNECTED_S, max_calls=1)
    assert "pong" in _inspect(rig, rabbit, "ping")
    assert "CRITICAL" not in worker.log_text()


def test_two_hundred_jobs_through_the_workers_death(
    rig: Rig, rabbit: RabbitServer, worker: ServerProcess, sender: Sender
) -> None:
    """kill -9 and a new one: every job is answered in order, once."""
    _send(rig, rabbit, sender)
    rig.wait_calls(SESSIONS)
    worker.kill()
    worker.start()
    rig.check(sender, timeout_s=RECONNECTED_S, max_calls=2)


def test_a_broker_that_answers_nothing_for_a_while(
    rig: Rig, rabbit: RabbitServer, worker: ServerProcess, sender: Sender
) -> None:
    """What runs goes on, and the rest when the broker answers again."""
    _send(rig, rabbit, sender)
    rig.wait_calls(SESSIONS)
    rabbit.process.freeze()
    wait_until(lambda: rig.ollama.stats.active == 0, what="nothing is left to do")
    rabbit.process.thaw()
    rig.check(sender, timeout_s=RECONNECTED_S, max_calls=1)
    assert "pong" in _inspect(rig, rabbit, "ping")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")
def test_over_tls_the_server_must_prove_itself(
    rig: Rig, rabbit: RabbitServer, worker: ServerProcess, tmp_path: Path
) -> None:
    """Its authority is the one that was named, its host that of the address."""
    authority = Authority(tmp_path, "ca").create()
    for host, is_right in (("localhost", True), ("other.example", False)):
        with TlsDoor(rabbit.port, authority.issue(host)) as door:
            trust = f"?ssl_ca_certs={authority.certificate}"
            url = f"amqps://guest:guest@localhost:{door.port}//{trust}"
            done = rig.python(PING, CELERY_BROKER_URL=url)
        assert done.stdout == ("there\n" if is_right else ""), done.stderr[-2000:]
    assert "hostname mismatch" in done.stderr.lower()


def test_messages_that_cannot_be_handled_go_to_the_quarantine(
    rig: Rig, rabbit: RabbitServer, worker: ServerProcess, sender: Sender
) -> None:
    """The jobs behind them are done, and no word of a message is in the log."""
    for body, headers in MALFORMED.values():
        _publish(rabbit, "chat", body, headers)
    _send(rig, rabbit, sender, jobs=1)
    rig.check(sender, max_calls=1)
    with Connection(rabbit.url) as connection:
        found = connection.default_channel.queue_declare("chat.quarantine", passive=True)
    assert found.message_count >= len(MALFORMED)
    assert worker.is_running, worker.log_tail()
    assert "hello" not in worker.log_text()
    assert max(map(len, worker.log_text().splitlines())) < 1000


class OddHeader(Message):  # type: ignore[misc]  # amqp ships no types
    """A message with one header, written byte by byte."""

    def __init__(self, kind: bytes, value: bytes) -> None:
        super().__init__(b"[[],{},{}]")
        self._table = b"\x01a" + kind + value

    def _serialize_properties(self) -> bytes:
        return struct.pack(">HI", 1 << 13, len(self._table)) + self._table


def _tables(levels: int) -> bytes:
    value = struct.pack(">I", 0)
    for _ in range(levels):
        inner = b"\x01aF" + value
        value = struct.pack(">I", len(inner)) + inner
    return value


UNREADABLE = (
    OddHeader(b"F", _tables(5000)),
    OddHeader(b"T", struct.pack(">Q", 1_700_000_000_000_000)),
    OddHeader(b"T", struct.pack(">Q", 2**64 - 1)),
)
"""Tables within each other, and times that Python does not have."""


def test_headers_that_cannot_be_read(
    rig: Rig, rabbit: RabbitServer, worker: ServerProcess, sender: Sender
) -> None:
    """They ended the connection, and the worker: the message goes to the quarantine."""
    pid = worker.pid
    with Connection(rabbit.url) as connection:
        channel = connection.default_channel
        for unreadable in UNREADABLE:
            channel.basic_publish(unreadable, exchange="", routing_key="chat")
    _send(rig, rabbit, sender, jobs=1)
    rig.check(sender, max_calls=1)
    with Connection(rabbit.url) as connection:
        found = connection.default_channel.queue_declare("chat.quarantine", passive=True)
    assert found.message_count >= len(UNREADABLE)
    assert (worker.is_running, worker.pid) == (True, pid), worker.log_tail()


def _send(rig: Rig, rabbit: RabbitServer, sender: Sender, *, jobs: int = JOBS) -> None:
    sessions = sender.sessions(SESSIONS)
    done = rig.python(PRODUCER, str(jobs), *sessions, CELERY_BROKER_URL=rabbit.url)
    assert done.returncode == 0, done.stderr[-3000:]
    for session, job_id, message in json.loads(done.stdout):
        sender.note(session, job_id, message)


def _inspect(rig: Rig, rabbit: RabbitServer, question: str) -> str:
    return run_python(
        "-m",
        "celery",
        "-A",
        "worker",
        "inspect",
        question,
        "-t",
        "5",
        env={**rig.stack.env, "CELERY_BROKER_URL": rabbit.url},
        cwd=rig.stack.directory,
        timeout_s=scaled(40),
    ).stdout


def test_another_key_prefix_has_queues_of_its_own(
    rig: Rig, rabbit: RabbitServer, worker: ServerProcess, sender: Sender
) -> None:
    """Beside a deployment with the default one: jobs, remote control, quarantine. What comes into
    a queue of the other goes home."""
    theirs = {"CELERY_BROKER_URL": rabbit.url, "REDIS_KEY_PREFIX": OTHER}
    rig.worker(name="other", **theirs)
    _publish(rabbit, f"{OTHER}.chat", b"hello", CHAT)
    _send(rig, rabbit, sender, jobs=1)
    rig.check(sender, max_calls=1)
    done = rig.python(ANSWERS, **theirs)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {
        "states": ["SUCCESS", "SUCCESS"],
        "nodes": ["other"],
        "queues": [f"{OTHER}.celery", f"{OTHER}.chat"],
    }
    with Connection(rabbit.url) as connection:
        found = connection.default_channel.queue_declare(f"{OTHER}.chat.quarantine", passive=True)
    assert found.message_count == 1
    assert f"REDIS_KEY_PREFIX={OTHER}) arrived on 'shared'" in worker.log_text()
    seen = _inspect(rig, rabbit, "ping")
    assert "of-rabbit@" in seen
    assert "other@" not in seen


def _publish(rabbit: RabbitServer, queue: str, body: bytes, headers: Mapping[str, object]) -> None:
    with Connection(rabbit.url) as connection:
        channel = connection.default_channel
        message = channel.prepare_message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=dict(headers),
        )
        channel.basic_publish(message, exchange="", routing_key=queue)

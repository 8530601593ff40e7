"""Only JSON is read, at every door: what would run code when it is loaded is refused, unloaded.

The marker is a directory that a payload makes when anybody loads it.
"""

import base64
import json
import os
import pickle
import shelve
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from kombu import Connection as Broker
from kombu import Exchange

from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import app, chat_task
from tests.support.faults.celery_messages import element, headers, task_properties
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from worker.cli import main

WAIT_S = scaled(20)
KINDS = {
    "pickle": ("application/x-python-serialize", "binary"),
    "yaml": ("application/x-yaml", "utf-8"),
}
TASKS = {"chat": "tasks.chat_task", "celery": "tasks.chat_task", "maintenance": "tasks.sweep"}
FANOUT = {"pidbox": "celery.pidbox", "event": "celeryev"}


Body = dict[str, str]


class Marking:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What must not be there at the end."""
    return tmp_path / "marker"


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each serializer in turn."""
    return str(request.param)


@pytest.fixture
def payload(kind: str, marker: Path) -> bytes:
    """Bytes that make the marker when they are loaded by a loader that is not careful."""
    if kind == "pickle":
        return pickle.dumps([[Marking(marker)], {}, {}])
    return f"!!python/object/apply:os.mkdir ['{marker}']".encode()


@pytest.fixture(scope="module")
def worker(stack: GriotStack) -> ServerProcess:
    """A worker for chat jobs."""
    return stack.worker()


@pytest.fixture(scope="module", autouse=True)
def maintenance(stack: GriotStack) -> ServerProcess:
    """A worker for what beat sends."""
    return stack.maintenance()


def is_answered(session_id: str) -> bool:
    """Whether a good job behind is done."""
    sent = chat_task.delay("energy", session_id, "still there?")
    return "still there?" in str(sent.get(timeout=WAIT_S)["response"])


def test_the_payload_would_do_harm(marker: Path) -> None:
    """Else nothing below would say anything."""
    pickle.loads(pickle.dumps(Marking(marker)))  # noqa: S301  # our own
    assert marker.is_dir()


@pytest.fixture
def bodies(kind: str, payload: bytes) -> list[Body]:
    """The parts of a message that hold the payload, under its type's name and its short one."""
    content_type, encoding = KINDS[kind]
    body = {"body": base64.b64encode(payload).decode(), "content-encoding": encoding}
    return [{**body, "content-type": name} for name in (content_type, kind)]


@pytest.mark.parametrize("queue", sorted(TASKS))
@pytest.mark.usefixtures("worker")
def test_a_task_that_is_no_json_is_refused(
    stack: GriotStack, valkey: ValkeyServer, queue: str, bodies: list[Body], marker: Path
) -> None:
    """It is taken out of the queue, by both of the names under which a body says what it is."""
    task = {"headers": headers(TASKS[queue]), "properties": task_properties(str(uuid.uuid4()))}
    messages = [element(TASKS[queue], **task, **body) for body in bodies]
    with Broker(valkey.url(1)) as broker:
        client = broker.default_channel.client
        client.lpush(queue, *messages)
        wait_until(
            lambda: not client.llen(queue) and not client.hlen("unacked"),
            timeout_s=WAIT_S,
            what="both messages are gone",
        )
    assert is_answered("tasks")
    assert all(process.is_running for process in stack.processes)
    assert not marker.exists()


@pytest.fixture
def cast(valkey: ValkeyServer, kind: str, payload: bytes) -> Iterator[Callable[[str], None]]:
    """Sends the payload to all who listen at an exchange."""
    content_type, encoding = KINDS[kind]
    with Broker(valkey.url(1)) as broker, broker.channel() as channel:

        def send(name: str) -> None:
            exchange = Exchange(FANOUT[name], "topic" if name == "event" else "fanout")
            broker.Producer(channel, exchange=exchange).publish(
                payload,
                routing_key="worker.heartbeat" if name == "event" else "",
                content_type=content_type,
                content_encoding=encoding,
                declare=[exchange],
            )

        yield send


def test_remote_control_that_is_no_json_is_refused(
    worker: ServerProcess, cast: Callable[[str], None], marker: Path
) -> None:
    """The worker lives, answers the next question, and does the next job."""
    cast("pidbox")
    with app.connection_for_write() as connection:
        inspect = app.control.inspect(timeout=scaled(2), connection=connection)
        answers = inspect.ping()
    assert any(name.startswith("worker@") for name in answers or {}), answers
    assert is_answered("pidbox")
    assert worker.is_running
    assert not marker.exists()


def test_an_event_that_is_no_json_is_refused(
    worker: ServerProcess, cast: Callable[[str], None], marker: Path
) -> None:
    """A monitor such as Flower sees the events behind it."""
    seen: list[dict[str, object]] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": seen.append})
        thread = threading.Thread(target=receiver.capture, kwargs={"limit": None}, daemon=True)
        thread.start()
        wait_until(lambda: seen, timeout_s=WAIT_S, what="the monitor hears a heartbeat")
        cast("event")
        assert is_answered("events")
        wait_until(
            lambda: any(one["type"] == "task-succeeded" for one in list(seen)),
            timeout_s=WAIT_S,
            what="the end of the job behind",
        )
        receiver.should_stop = True
        thread.join(scaled(10))
    assert not marker.exists()


def test_a_result_that_is_no_json_is_refused(
    valkey: ValkeyServer, payload: bytes, marker: Path
) -> None:
    """Whoever reads it gets an error, and the marker is not made."""
    job_id = str(uuid.uuid4())
    with Broker(valkey.url(2)) as results:
        results.default_channel.client.set(f"celery-task-meta-{job_id}", payload, ex=60)
    with pytest.raises(Exception, match=r".*") as refused:
        chat_task.AsyncResult(job_id).get(timeout=scaled(2))
    assert not isinstance(refused.value, TimeoutError)
    assert not marker.exists()


@pytest.mark.parametrize("module", ["os", "posix", "builtins", "subprocess"])
def test_a_result_names_no_function_to_call(
    valkey: ValkeyServer, marker: Path, module: str
) -> None:
    """The error of a failed job is made from names in Redis: only of an exception, never of
    `os.mkdir` (CVE-2021-23727 of Celery)."""
    job_id = str(uuid.uuid4())
    name = {"os": "mkdir", "posix": "mkdir", "builtins": "exec", "subprocess": "check_call"}[module]
    call = {
        "mkdir": [str(marker)],
        "exec": [f"import os; os.mkdir('{marker}')"],
        "check_call": [["mkdir", str(marker)]],
    }[name]
    record = {
        "status": "FAILURE",
        "result": {"exc_type": name, "exc_module": module, "exc_message": call},
        "traceback": None,
        "children": [],
        "task_id": job_id,
    }
    with Broker(valkey.url(2)) as results:
        client = results.default_channel.client
        client.set(f"celery-task-meta-{job_id}", json.dumps(record), ex=60)
    with pytest.raises(Exception, match=r".*"):
        chat_task.AsyncResult(job_id).get(timeout=scaled(2))
    assert not marker.exists()


def test_an_answer_to_a_question_that_is_no_json_is_refused(
    valkey: ValkeyServer, kind: str, payload: bytes, marker: Path
) -> None:
    """`griot status` asks all workers; one that is none of ours answers with the payload."""
    content_type, encoding = KINDS[kind]
    stop = threading.Event()

    def answer() -> None:
        with Broker(valkey.url(1)) as broker, broker.channel() as channel:
            client = broker.default_channel.client
            with client.pubsub() as asked:
                asked.psubscribe("*celery.pidbox*")
                while not stop.is_set():
                    message = asked.get_message(timeout=0.1)
                    if message is None or message["type"] != "pmessage":
                        continue
                    told = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
                    reply = told["reply_to"]
                    broker.Producer(channel).publish(
                        payload,
                        exchange=reply["exchange"],
                        routing_key=reply["routing_key"],
                        content_type=content_type,
                        content_encoding=encoding,
                        headers={"ticket": told.get("ticket")},
                    )

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        done = CliRunner().invoke(main, ["status"])
    finally:
        stop.set()
        thread.join(scaled(10))
    assert (done.exit_code, type(done.exception)) == (1, SystemExit), done.exception
    assert "something that is not a worker answers" in done.output
    assert not marker.exists()


def test_beat_reads_no_schedule_from_a_file(stack: GriotStack, tmp_path: Path) -> None:
    """Celery's own keeps pickles in `celerybeat-schedule`, which a neighbour may have written."""
    marker = tmp_path / "marker"
    with shelve.open(str(stack.directory / "celerybeat-schedule")) as schedule:  # noqa: S301
        schedule["entries"] = Marking(marker)
    beat = stack.beat("--loglevel", "debug", CHAT_SWEEP_SECONDS="1")
    wait_until(
        lambda: "beat sent sweep" in beat.log_text(), timeout_s=WAIT_S, what="a task of beat"
    )
    assert beat.is_running
    assert not marker.exists()

"""What is too large, or names a model that no job may name: refused, and nobody else is hurt."""

import uuid

import pytest
from celery import Celery
from celery.result import AsyncResult
from redis import Redis

from memory import dead_letters
from sandbox.process import ServerProcess
from tasks import InvalidJob, JobFailed, app, chat_task
from tests.support.faults.celery_messages import element, headers, task_properties
from tests.support.faults.rig import Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled
from tests.support.results import fetch
from tests.support.waiting import wait_until
from worker.broker.messages import KEPT_BYTES

WAIT_S = scaled(15)
MB = "x" * 1_000_000
QUARANTINE = "chat.quarantine"
MOST_BYTES = 20_000

LARGE = {
    "headers of 5 MB": {"headers": headers("tasks.chat_task", mine=MB * 5)},
    "a shadow of 1 MB": {"headers": headers("tasks.chat_task", shadow=MB)},
    "an id of 1 MB": {"headers": {"task": "tasks.chat_task", "id": MB}},
    "a reply_to of 1 MB": {"properties": task_properties(reply_to=MB)},
}


def test_a_large_element_is_set_aside(rig: Rig, steady: ServerProcess, sender: Sender) -> None:
    """Its beginning is kept; the log has a short line; the job behind it is done."""
    (session_id,) = sender.sessions(1)
    for changes in LARGE.values():
        rig.broker("LPUSH", "chat", element("tasks.chat_task", **changes))
    rig.broker("LPUSH", "chat", element("tasks.chat_task", AGENT_ID, "large", MB * 6))
    rig.broker("LPUSH", "chat", b'{"a":' * 100_000)
    sender.send(session_id)
    rig.check(sender, max_calls=1)
    assert rig.broker("LLEN", QUARANTINE) == len(LARGE) + 2
    with Redis.from_url(rig.valkey.url(1), protocol=2) as broker:
        kept = broker.lrange(QUARANTINE, 0, -1)
    assert max(map(len, kept)) == KEPT_BYTES
    for why in ("see CHAT_MAX_ENVELOPE_BYTES", "nested deeper", "shadow of over 512 characters"):
        assert why in steady.log_text()
    assert max(map(len, steady.log_text().splitlines())) < 1000
    assert steady.is_running


def test_a_deep_broadcast_is_ignored(rig: Rig, steady: ServerProcess, sender: Sender) -> None:
    """It ended the worker."""
    pid, (session_id,) = steady.pid, sender.sessions(1)
    ignored = "a broadcast on 'celery.pidbox' is ignored (nested deeper"
    # Again and again: another worker may hear broadcasts before this one does.
    wait_until(
        lambda: (
            rig.broker("PUBLISH", "/1.celery.pidbox", b"[" * 100_000)
            and ignored in steady.log_text()
        ),
        what="the worker says what it ignored",
    )
    sender.send(session_id)
    rig.check(sender, max_calls=1)
    assert steady.is_running
    assert steady.pid == pid


@pytest.fixture(scope="module")
def strict(rig: Rig) -> ServerProcess:
    """A worker that takes little, and one model."""
    limits = {"CHAT_MAX_ENVELOPE_BYTES": str(MOST_BYTES), "CHAT_ALLOWED_MODELS": "instant, x:cloud"}
    return rig.worker("-Q", "strict", name="strict", **limits)


def _raw(rig: Rig, **arguments: object) -> AsyncResult:
    """A job that a service sends which imports nothing of ours."""
    urls = {"broker": rig.valkey.url(1), "backend": rig.valkey.url(2)}
    with Celery("foreign", **urls, set_as_current=False) as foreign:
        ids = {"agent_id": AGENT_ID, "session_id": f"raw-{uuid.uuid4().hex}", "message": "hello"}
        job_id = str(uuid.uuid4())
        foreign.send_task("tasks.chat_task", kwargs=ids | arguments, task_id=job_id, queue="strict")
        return AsyncResult(job_id, app=app)


def test_a_raw_job_is_as_large_as_a_job_may_be(rig: Rig, strict: ServerProcess) -> None:
    """The result names the setting; nothing of it is kept as a dead letter."""
    fits = _raw(rig, model="instant", message="x" * (MOST_BYTES - 1000))
    assert fetch(fits, WAIT_S)["response"]
    with pytest.raises(InvalidJob, match=f"the limit is {MOST_BYTES} .*CHAT_MAX_ENVELOPE_BYTES"):
        fetch(_raw(rig, model="instant", message="x" * MOST_BYTES), WAIT_S)


def test_a_raw_job_names_an_allowed_model(rig: Rig, strict: ServerProcess) -> None:
    """The worker decides; the error says what is allowed, and which setting to change."""
    with pytest.raises(InvalidJob, match=r"allowed are instant, x:cloud \(CHAT_ALLOWED_MODELS"):
        fetch(_raw(rig, model="ok"), WAIT_S)
    with pytest.raises(InvalidJob, match="CHAT_CLOUD_MODELS=true"):
        fetch(_raw(rig, model="x:cloud"), WAIT_S)


def test_so_does_a_job_of_a_producer_that_knows_no_models(rig: Rig, strict: ServerProcess) -> None:
    """It lies in the mailbox when the worker refuses it: a dead letter says why."""
    (session_id,) = Sender().sessions(1)
    kwargs = {"agent_id": AGENT_ID, "session_id": session_id, "message": "hello", "model": "ok"}
    job = chat_task.apply_async(kwargs=kwargs, queue="strict")
    with pytest.raises(JobFailed, match="CHAT_ALLOWED_MODELS"):
        job.get(timeout=WAIT_S)
    assert not any(call.model == "ok" for call in rig.ollama.calls)
    letters = rig.connection.run(dead_letters.letters(rig.mailbox(session_id))).letters
    assert [letter.job_id for letter in letters] == [job.id]


PRODUCER = """
import sys
from tasks import InvalidJob, chat_task
from tasks.process.app import app
from tasks.submit.dead_letters import requeue
dead, *ways = sys.argv[1:]
for way in ways:
    try:
        if way == "delay":
            chat_task.delay("energy", "told", "hello", model="ok")
        elif way == "aio":
            import asyncio
            from tasks.aio import send
            asyncio.run(send("energy", "told", "hello", model="ok"))
        else:
            requeue(app, dead)
    except InvalidJob as refused:
        print(refused)
"""


def test_a_producer_that_was_told_the_models_refuses_at_once(
    rig: Rig, strict: ServerProcess
) -> None:
    """By `delay`, by `send`, and where a dead letter is sent again."""
    (session_id,) = Sender().sessions(1)
    kwargs = {"agent_id": AGENT_ID, "session_id": session_id, "message": "h" * 2000, "model": "ok"}
    dead = chat_task.apply_async(kwargs=kwargs, queue="strict")
    with pytest.raises(JobFailed):
        dead.get(timeout=WAIT_S)
    ways = ("delay", "aio", "requeue")
    done = rig.python(PRODUCER, dead.id, *ways, CHAT_ALLOWED_MODELS="instant")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("allowed are instant (CHAT_ALLOWED_MODELS)") == len(ways)
    small = rig.python(PRODUCER, dead.id, "requeue", CHAT_MAX_ENVELOPE_BYTES="1024")
    assert small.returncode == 0, small.stderr[-2000:]
    assert "CHAT_MAX_ENVELOPE_BYTES" in small.stdout

"""Messages lost, doubled, foreign and malformed: faults 23, 24 and 26."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import Celery
from pydantic import JsonValue

from sandbox.process import ServerProcess
from tasks import JobResult, app, chat_task
from tasks.process.wakeup import publish, wakeup_kwargs
from tests.support.effort import effort
from tests.support.faults.celery_messages import (
    MALFORMED,
    element,
    embedding_job,
    first_protocol_job,
    headers,
    unreadable_job,
)
from tests.support.faults.rig import GRACE_S, SWEEP_S, Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.results import fetch
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("steady")


@pytest.fixture(scope="module")
def foreign(rig: Rig) -> Iterator[Celery]:
    """A service that imports nothing of ours."""
    urls = {"broker": rig.valkey.url(1), "backend": rig.valkey.url(2)}
    with Celery("foreign", **urls, set_as_current=False) as celery:
        yield celery


@pytest.mark.long
def test_a_wake_up_published_many_times(rig: Rig, sender: Sender) -> None:
    """Dozens of messages for one job: one turn, one model call; the next job is not delayed."""
    (session_id,) = sender.sessions(1)
    job = sender.send(session_id, model="delay:0.2s")
    sender.send(session_id)
    for _ in range(effort(30, long=100)):
        publish(app, job.id, wakeup_kwargs(rig.keys(session_id), None), {})
    rig.check(sender, max_calls=1)
    wait_until(lambda: _waiting(rig, "chat") == 0, what="all messages are taken")
    publish(app, job.id, wakeup_kwargs(rig.keys(session_id), None), {})
    rig.check(sender, max_calls=1)
    assert job.get(timeout=scaled(5))["job_id"] == job.id


def test_a_late_message_of_a_job_whose_result_was_lost(rig: Rig, sender: Sender) -> None:
    """The reply is in the history: the result is stored again, without a model call."""
    (session_id,) = sender.sessions(1)
    job = sender.send(session_id)
    first = job.get(timeout=scaled(10))
    key = app.backend.get_key_for_task(job.id)
    assert rig.results.delete(key) == 1
    publish(app, job.id, wakeup_kwargs(rig.keys(session_id), None), {})
    wait_until(lambda: rig.results.exists(key), what="the result is there again")
    assert JobResult(job.id, app=app).get(timeout=scaled(5))["response"] == first["response"]
    rig.check(sender, max_calls=1)


def test_messages_in_the_wrong_order(rig: Rig, sender: Sender) -> None:
    """A message for a job that is not first runs nothing; it wakes the one that is."""
    for session_id in sender.sessions(3):
        for _ in range(4):
            rig.enqueue_silently(sender, session_id)
        for job in reversed(sender.jobs[session_id][1:]):
            publish(app, job.job_id, wakeup_kwargs(rig.keys(session_id), None), {})
    rig.check(sender, max_calls=1)


def test_the_same_task_id_from_two_producers(rig: Rig, sender: Sender) -> None:
    """Both are told that the job is in; it has one turn."""
    with ThreadPoolExecutor(2) as producers:
        for session_id in sender.sessions(6):
            job_id, message = str(uuid.uuid4()), sender.next_message(session_id)
            kwargs = {"agent_id": "energy", "session_id": session_id, "message": message}
            both = [
                producers.submit(chat_task.apply_async, kwargs=kwargs, task_id=job_id)
                for _ in range(2)
            ]
            assert {sent.result().id for sent in both} == {job_id}
            sender.note(session_id, job_id, message)
    rig.check(sender, max_calls=1)


def test_a_raw_send_task_sent_twice(rig: Rig, sender: Sender, foreign: Celery) -> None:
    """It is taken in when a worker gets it, and has one turn among those of `delay`."""
    for session_id in sender.sessions(2):
        sender.send(session_id)
        rig.wait_drained(sender)
        job_id, message = str(uuid.uuid4()), sender.next_message(session_id)
        kwargs = {"agent_id": "energy", "session_id": session_id, "message": message}
        for _ in range(2):
            sent = foreign.send_task("tasks.chat_task", kwargs=kwargs, task_id=job_id)
        sender.note(session_id, job_id, message)
        assert message in fetch(sent, 15)["response"]
        sender.send(session_id)
    rig.check(sender, max_calls=1)


def test_a_message_taken_off_the_queue_by_hand(rig: Rig, sender: Sender) -> None:
    """A job whose message is lost is answered within sweep + grace + 1 s."""
    worker = rig.worker("-Q", "narrow", "-c", "1", name="narrow")
    busy, robbed = sender.sessions(2)
    sender.send(busy, model=f"delay:{scaled(0.5)}s", queue="narrow")
    rig.wait_active(1)
    sender.send(robbed, queue="narrow")
    assert rig.broker("LPOP", "narrow"), "the message lay in the queue"
    rig.check(sender, timeout_s=SWEEP_S + GRACE_S + 1 + rig.delay_s, max_calls=1)
    worker.kill()


@pytest.mark.parametrize("queue", ["chat", "celery"])
def test_garbage_in_front_of_a_job(
    rig: Rig, steady: ServerProcess, sender: Sender, queue: str
) -> None:
    """Whatever lies in the broker's list, the job behind it is done within a second."""
    (session_id,) = sender.sessions(1)
    sender.send(session_id)
    rig.check(sender)
    garbage = [part.replace(b'"echo"', b'"tasks.chat_task"') for part in MALFORMED.values()]
    garbage.append(unreadable_job("these are words"))
    rig.broker("LPUSH", queue, *garbage)
    sender.send(session_id, queue=queue)
    rig.check(sender, timeout_s=1 + rig.delay_s, max_calls=1)
    assert rig.broker("LLEN", f"{queue}.quarantine") == len(garbage)
    assert "these are words" not in steady.log_text()
    assert steady.is_running, steady.log_tail()


WORDS = "these are words"


@pytest.mark.parametrize(
    "message",
    [
        element("tasks.no_such", WORDS, headers=headers("tasks.no_such", argsrepr=repr((WORDS,)))),
        element("tasks.chat_task", WORDS, headers=headers("tasks.chat_task", eta="tomorrow")),
        element("never", WORDS, headers={}),
    ],
    ids=["an unknown task", "an impossible time", "no task"],
)
def test_a_message_that_celery_refuses_is_not_quoted(
    rig: Rig, steady: ServerProcess, sender: Sender, message: bytes
) -> None:
    """The log says what is wrong, and none of the words; the job behind it is done."""
    said = len(steady.log_text())
    rig.broker("LPUSH", "chat", message)
    (session_id,) = sender.sessions(1)
    sender.send(session_id)
    rig.check(sender)
    assert any(word in steady.log_text()[said:] for word in ("ERROR", "WARNING"))
    assert WORDS not in steady.log_text()


def test_more_jobs_of_celerys_first_protocol_than_the_pool_has_places(
    rig: Rig, sender: Sender
) -> None:
    """They come decoded; each is answered, and none takes a place for good."""
    rig.worker("-Q", "old", "-c", "2", name="old")
    for session_id in sender.sessions(5):
        job_id, message = str(uuid.uuid4()), sender.next_message(session_id)
        rig.broker("LPUSH", "old", first_protocol_job(job_id, "energy", session_id, message))
        sender.note(session_id, job_id, message)
    rig.check(sender, max_calls=1)


def test_more_broken_options_than_the_pool_has_places(rig: Rig, sender: Sender) -> None:
    """A body whose third part is no object is put aside, also where it has to wait for a place."""
    worker = rig.worker("-Q", "broken", "-c", "1", "--prefetch-multiplier", "9", name="broken")
    (session_id,) = sender.sessions(1)
    sender.send(session_id, queue="broken", model=f"delay:{scaled(0.5)}s")
    rig.wait_active(1)
    broken = [embedding_job([1, 2]) for _ in range(3)]
    rig.broker("LPUSH", "broken", *broken)
    sender.send(session_id, queue="broken")
    rig.check(sender, max_calls=1)
    assert rig.broker("LLEN", "broken.quarantine") == len(broken)
    assert worker.is_running, worker.log_tail()


@pytest.mark.parametrize("options", [{"serializer": "none such"}, {"exchange": 7}])
def test_a_job_whose_options_cannot_be_sent(
    rig: Rig, sender: Sender, options: dict[str, JsonValue]
) -> None:
    """It is in its mailbox: whoever wakes it does so without them, and wakes all others."""
    odd, lost = sender.sessions(2)
    rig.enqueue_silently(sender, odd, publish=options)
    wait_until(lambda: rig.is_drained(sender), what="it is answered")
    rig.enqueue_silently(sender, lost)
    rig.check(sender, max_calls=1)


def _waiting(rig: Rig, queue: str) -> int:
    return int(str(rig.broker("LLEN", queue)))

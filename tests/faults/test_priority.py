"""Urgent jobs beside a crowd that has time: at a busy model, in the queue, in a full worker."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest
from celery import Celery

from memory import EventType, Priority, Slots
from memory.priority import RANKS
from sandbox.process import ServerProcess
from tasks import CancelOutcome, JobFailed, app, chat_task, follow_job, send_many
from tasks.submit.dead_letters import requeue
from tests.support.effort import effort
from tests.support.faults.rig import LEASE_S, Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

CROWD = effort(50, long=1000)
"""Sessions of which each has a batch job."""
URGENT = 20
QUICK, ONE = "delay:2ms", "delay:50ms"
BOUNDED = {"OLLAMA_NUM_PARALLEL_BY_MODEL": f"{QUICK}=1, {ONE}=1"}

LEASE_MS = round(scaled(LEASE_S) * 1000)
ENDS = {Priority.NORMAL: "", Priority.INTERACTIVE: "\x06\x166", Priority.BATCH: "\x06\x169"}
"""Of the names of kombu's lists of a queue."""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module", autouse=True)
def worker(rig: Rig) -> ServerProcess:
    """One worker that knows the limits, for as long as the module lasts."""
    return rig.worker(name="steady", **BOUNDED)


def slots(rig: Rig, model: str) -> Slots:
    """The one slot of a model."""
    return Slots(rig.keyspace, model, (rig.ollama.url,), 1)


def waiting(rig: Rig, model: str) -> dict[str, int]:
    """How many sessions of each class wait."""
    counts = rig.connection.run_each(slots(rig, model).waiting_of())
    return {str(one): n for one, n in zip(RANKS, counts, strict=True) if n}


@contextmanager
def occupied(rig: Rig, model: str) -> Iterator[None]:
    """The one slot of a model is taken within the block."""
    at, is_over = slots(rig, model), Event()
    take = at.take(rig.keys("nobody"), "nobody", lease_ms=LEASE_MS)
    wait_until(lambda: rig.connection.run(take), what="the slot is free")

    def keep() -> None:
        while not is_over.wait(LEASE_MS / 4000):
            assert rig.connection.run(at.renew("nobody", lease_ms=LEASE_MS))

    with ThreadPoolExecutor(1) as thread:
        kept = thread.submit(keep)
        try:
            yield
        finally:
            is_over.set()
    kept.result()
    rig.connection.run(at.release("nobody", took_ms=1))  # the sweeper grants it


def asked(rig: Rig, *models: str) -> list[str]:
    """The messages that these models were asked, in order."""
    calls = [call for call in rig.ollama.calls if call.model in models]
    return [str(call.messages[-1]["content"]) for call in calls]


def test_urgent_jobs_wait_little_beside_a_crowd_at_a_busy_model(rig: Rig) -> None:
    """Counted in calls of the model: at most twice as many as in an empty queue; and the crowd
    moves meanwhile."""
    rig.ollama.reset()
    run = uuid.uuid4().hex[:8]
    crowd = [
        {"agent_id": AGENT_ID, "session_id": f"{run}-{n}", "message": f"crowd {n}", "model": QUICK}
        for n in range(CROWD)
    ]
    urgent = Sender(QUICK)
    with occupied(rig, QUICK):
        answers = send_many([{**job, "priority": "batch"} for job in crowd])  # type: ignore[typeddict-item]  # as written
        assert {str(answer.outcome) for answer in answers} == {"accepted"}
        wait_until(
            lambda: waiting(rig, QUICK) == {"batch": CROWD}, timeout_s=60, what="a crowd waits"
        )
        jobs = [urgent.send(one, priority="interactive") for one in urgent.sessions(URGENT)]
        both = {"interactive": URGENT, "batch": CROWD}
        wait_until(lambda: waiting(rig, QUICK) == both, timeout_s=20, what="all wait")
        told = [_ahead(job.id) for job in jobs]
    for job in jobs:
        job.get(timeout=scaled(30))
    wait_until(lambda: len(asked(rig, QUICK)) > URGENT + 2, timeout_s=20, what="the crowd goes on")
    calls = asked(rig, QUICK)
    places = sorted(calls.index(sent.message) for (sent,) in urgent.jobs.values())
    assert all(place <= max(1, 2 * n) for n, place in enumerate(places)), places
    assert all(ahead <= 2 * n + 1 for n, ahead in enumerate(told)), told
    assert any(call.startswith("crowd") for call in calls[: places[-1]]), "batch moves"
    for answer in answers:
        chat_task.cancel(answer.job_id, "discard")
    wait_until(lambda: not waiting(rig, QUICK), timeout_s=60, what="nobody waits")


def _ahead(job_id: str) -> int:
    """How many a job was told to be before it."""
    for event in follow_job(job_id):
        if event.type == EventType.WAITING:
            ahead = event.data["ahead"]
            assert isinstance(ahead, int)
            return ahead
    raise AssertionError("it did not wait")


def test_a_later_urgent_message_lifts_its_session_and_keeps_its_order(rig: Rig) -> None:
    """The waiting head goes before all others, and its session's jobs stay as they were sent."""
    rig.ollama.reset()
    others, lifted = Sender(ONE), Sender(ONE)
    (session_id,) = lifted.sessions(1)
    with occupied(rig, ONE):
        for one in others.sessions(6):
            others.send(one, priority="batch")
        lifted.send(session_id, priority="batch")
        wait_until(lambda: waiting(rig, ONE) == {"batch": 7}, what="all stand in line")
        lifted.send(session_id, priority="batch")
        lifted.send(session_id, priority="interactive")
        wait_until(lambda: waiting(rig, ONE) == {"interactive": 1, "batch": 6}, what="it is lifted")
    rig.check(lifted, timeout_s=30, max_calls=1)
    rig.check(others, timeout_s=30, max_calls=1)
    calls = asked(rig, ONE)
    order = [call for call in calls if call.startswith(session_id)]
    assert order == [sent.message for sent in lifted.jobs[session_id]]
    assert calls[0] == order[0], "its head is the next"
    assert calls.index(order[2]) <= 4, "all of it is before the crowd"


def test_a_dead_job_that_is_sent_again_is_as_urgent_as_it_was(rig: Rig) -> None:
    """Its session, which waits for a slot with a batch job, is lifted by it."""
    session = f"s-{uuid.uuid4()}"
    dead = chat_task.delay(AGENT_ID, session, "hear", model="bad-400", priority="interactive")
    with pytest.raises(JobFailed):
        dead.get(timeout=scaled(10))
    with occupied(rig, ONE):
        waits = chat_task.delay(AGENT_ID, session, "one", model=ONE, priority="batch")
        wait_until(lambda: waiting(rig, ONE) == {"batch": 1}, what="it waits as one of its class")
        again = requeue(app, dead.id)
        wait_until(lambda: waiting(rig, ONE) == {"interactive": 1}, what="it is lifted")
    assert waits.get(timeout=scaled(10))["attempt"] == 1
    # Its calls come now: no other test is to count them.
    with pytest.raises(JobFailed):
        chat_task.AsyncResult(again).get(timeout=scaled(10))


def test_a_full_worker_takes_urgent_jobs_first(rig: Rig) -> None:
    """Where nothing bounds the calls, its places do; what it hands over to itself waits as well."""
    rig.ollama.reset()
    worker = rig.worker("-Q", "narrow", "-c", "1", name="narrow")
    crowd, urgent = Sender(), Sender()
    slow = chat_task.apply_async(
        (AGENT_ID, f"s-{uuid.uuid4()}", "hold"), {"model": "hang"}, queue="narrow"
    )
    rig.wait_active(1)
    for session_id in crowd.sessions(5):
        crowd.send(session_id, queue="narrow", priority="batch")
        crowd.send(session_id, queue="narrow", priority="batch")
    for session_id in urgent.sessions(5):
        urgent.send(session_id, queue="narrow", priority="interactive")
    assert rig.ollama.stats.requests == 1, "the worker was full all the time"
    assert chat_task.cancel(slow.id) is CancelOutcome.STOPPING
    for sender in (urgent, crowd):
        rig.check(sender, timeout_s=30, max_calls=1)
    calls = asked(rig, "hang", "instant")
    assert [calls.index(jobs[0].message) for jobs in urgent.jobs.values()] == [1, 2, 3, 4, 5]
    worker.kill()


def test_any_client_of_celery_says_how_urgent_its_job_is(rig: Rig) -> None:
    """By name, or by Celery's number as the broker reads it: with Redis a larger one is later."""
    plain = Celery("foreign", broker=app.conf.broker_url)
    sent, sender = list[str](), Sender(ONE)
    with occupied(rig, ONE):
        for options, named in (
            ({"priority": 9}, {}), ({"priority": 3}, {}), ({"priority": 0}, {}), ({}, {}),
            ({"priority": 6}, {"priority": "interactive"}),
        ):  # fmt: skip
            (session_id,) = sender.sessions(1)
            kwargs = {"agent_id": AGENT_ID, "session_id": session_id, "message": "x", "model": ONE}
            one = plain.send_task("tasks.chat_task", kwargs={**kwargs, **named}, **options)
            sent.append(one.id)
        (session_id,) = sender.sessions(1)
        kwargs = {"agent_id": AGENT_ID, "session_id": session_id, "message": "x", "model": ONE}
        sent.append(chat_task.apply_async(kwargs=kwargs, priority=5).id)  # type: ignore[arg-type]  # as written
        expected = {"interactive": 1, "normal": 2, "batch": 3}
        wait_until(lambda: waiting(rig, ONE) == expected, timeout_s=20, what="all stand in line")
        for job_id in sent:
            chat_task.cancel(job_id, "discard")
    wait_until(lambda: not waiting(rig, ONE), timeout_s=20, what="nobody waits")
    plain.close()


def test_a_wake_up_goes_to_the_list_of_its_class(rig: Rig) -> None:
    """With no command more: a normal one where it always was, and nothing else about it."""
    sender = Sender()
    for priority in Priority:
        (session_id,) = sender.sessions(1)
        sender.send(session_id, queue="unread", priority=priority.value)
    lists = {one: rig.broker("LRANGE", f"unread{end}", 0, -1) for one, end in ENDS.items()}
    for priority, elements in lists.items():
        assert isinstance(elements, list)
        assert elements, priority
        is_named = priority is not Priority.NORMAL
        assert all(("griot_priority" in str(element)) is is_named for element in elements)
    rig.broker("DEL", *(f"unread{end}" for end in ENDS.values()))
    for jobs in sender.jobs.values():
        for job in jobs:
            chat_task.cancel(job.job_id, "discard")

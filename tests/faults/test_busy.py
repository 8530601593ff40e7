"""People who interrupt, roll back, replace and merge, while workers and Redis are killed."""

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery.result import AsyncResult

from memory import Command, OnBusy
from memory.redis.replies import strings
from sandbox.process import ServerProcess
from tasks import app
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tasks.submit.producer import producer
from tests.support.effort import effort
from tests.support.faults.dump import SessionDump
from tests.support.faults.rig import Rig
from tests.support.faults.sender import AGENT_ID, Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

SESSIONS, JOBS = effort(4, long=10), effort(15, long=20)
AT_ONCE = 5
"""Messages that meet each other in their mailbox, however slow the machine."""
WORKERS = ("first", "second")
KILLS = 3
CALLS = SESSIONS * JOBS // 20
"""Model calls between two kills: most messages interrupt or replace others, and get none."""
MODEL = "slow-tokens:10x10ms"

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def workers(rig: Rig) -> Iterator[list[ServerProcess]]:
    """Two workers, started at once."""
    with ThreadPoolExecutor(len(WORKERS)) as threads:
        started = list(threads.map(lambda name: rig.worker(name=name), WORKERS))
    yield started
    for worker in started:
        worker.kill()


def send_all(sender: Sender) -> None:
    """Some messages at a time to each session in turn, each in a way of its own; only nobody is
    refused."""
    rng = random.Random(4)
    ways = [way for way in OnBusy if way is not OnBusy.REJECT]
    sessions = sender.sessions(SESSIONS)
    for session_id in sessions * (JOBS // AT_ONCE):
        for _ in range(AT_ONCE):
            sender.insist(session_id, model=MODEL, on_busy=rng.choice(ways))


def problems(dump: SessionDump, sent: list[str]) -> Iterator[str]:
    """What is not as promised in a session that is drained."""
    questions = [past for past in dump.history if past["role"] == "user"]
    turns = [str(past["job_id"]) for past in questions]
    marks = dict(dump.marks)
    if turns != sorted(set(turns), key=sent.index):
        yield f"I1, I3: turns {turns} of {sent}"
    for job_id in sent:
        if (job_id in turns) != (marks[job_id] > 0):
            yield f"I2: {job_id} is marked {marks[job_id]}, and its turn is not so"
        bearing = [past for past in questions if job_id in str(past.get("merged", ""))]
        if len(bearing) > (job_id not in turns):
            yield f"I1: {job_id} is in {len(bearing)} turns of others"
    if dump.pending or dump.envelopes:
        yield f"I10: {dump.pending} {sorted(dump.envelopes)}"


def end_of(dump: SessionDump, job_id: str, sent: list[str]) -> str:
    """How a job ended, by its result; fails where the history says something else."""
    result = AsyncResult(job_id, app=app)
    wait_until(result.ready, timeout_s=20, what=f"{job_id} has a result")
    of_job = [past for past in dump.history if past["job_id"] == job_id]
    if result.state == "REVOKED":
        assert all(past.get("cancelled") for past in of_job), job_id
        return "kept" if of_job else "withdrawn"
    if of_job:
        assert result.result["response"] == of_job[-1]["content"], job_id
        return "answered"
    assert result.result["merged_into"] in sent, job_id
    return "merged"


@pytest.mark.long
def test_each_message_has_one_end_whatever_dies(
    rig: Rig, workers: list[ServerProcess], sender: Sender
) -> None:
    """In the history once and in order, or withdrawn, or in another's turn; and its sender hears
    which."""
    with ThreadPoolExecutor(1) as producer:
        sending = producer.submit(send_all, sender)
        for kill in range(KILLS):
            rig.wait_calls(CALLS)
            workers[kill % 2].kill()
            if kill == 1:
                rig.valkey.kill()
                rig.valkey.start()
            workers[kill % 2].start()
        sending.result(timeout=scaled(90))
    rig.wait_drained(sender, timeout_s=60)
    ends: Counter[str] = Counter()
    for dump in rig.dumps(sender):
        sent = [job.job_id for job in sender.jobs[dump.session_id]]
        assert list(problems(dump, sent)) == []
        ends.update(end_of(dump, job_id, sent) for job_id in sent)
    assert set(ends) == {"answered", "kept", "withdrawn", "merged"}
    rig.wait_delivered(sender)


def test_a_sweeper_outlives_a_redis_without_room_for_results(rig: Rig, sender: Sender) -> None:
    """Who cannot be told their end is told later, and lost wake-ups are found as before."""
    worker = rig.worker(name="sweeping")
    replaced, lost = sender.sessions(2)
    worker.freeze()
    rig.enqueue_silently(Sender(), replaced)
    replacing = {"message": "instead", "on_busy": OnBusy.REPLACE_PENDING}
    job = ChatJob.model_validate({"agent_id": AGENT_ID, "session_id": replaced, **replacing})
    submission = producer().submission(Envelope(job=job), str(uuid.uuid4()))
    assert rig.connection.run_last(*submission.commands).ended == 1
    (ended_id,) = rig.connection.run(Command(strings, ("HKEYS", submission.keys.outbox)))
    rig.enqueue_silently(sender, lost)
    with rig.full_memory():
        worker.thaw()
        wait_until(
            lambda: (
                f"{ended_id.decode()}, and perhaps others, will be stored later"
                in worker.log_text()
            ),
            what="the result could not be stored",
        )
    rig.wait_drained(sender)
    ended = AsyncResult(ended_id.decode(), app=app)
    wait_until(ended.ready, timeout_s=45, what="it is told after all")
    assert ended.state == "REVOKED"
    worker.kill()

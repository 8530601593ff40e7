"""Whatever strangers send: the worker lives, the job behind it is done, nobody waits for long."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from memory import Backpressure, InvalidInput, MemoryServiceError
from memory.mailbox import due_list
from memory.mailbox import schedules as records
from memory.records import embeddings
from sandbox.process import ServerProcess
from tasks import ChatError, app, chat_task, schedules
from tasks.process.wakeup import publish
from tasks.submit.embedding import tell_worker
from tests.support.effort import effort
from tests.support.faults.loop_watch import VARIABLE, slowest_of_worker
from tests.support.faults.odd_things import (
    STORED_SESSION,
    Broadcast,
    Element,
    Made,
    Odd,
    Scheduled,
    Sent,
    Stored,
    Vectors,
    odd_things,
)
from tests.support.faults.rig import GRACE_S, Rig
from tests.support.faults.sender import AGENT_ID
from tests.support.machine import scaled

TOGETHER = 25
BATCHES = effort(5, long=800)
SLOWEST_S = 0.05
"""The most CPU time of its thread that one callback may take."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the worker notes its slowest callback."""
    return tmp_path_factory.mktemp("loop") / "slowest"


@pytest.fixture(scope="module")
def watched(rig: Rig, report: Path) -> ServerProcess:
    """A worker whose event loop is measured."""
    module = "tests.support.faults.loop_watch"
    return rig.worker("-I", module, name="watched", **{VARIABLE: str(report)})


# Hypothesis writes down what a strategy is, with all that it is made of.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.timeout(effort(120, long=3600))
@seed(20261126)
@settings(
    max_examples=BATCHES,
    phases=(Phase.explicit, Phase.generate),
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(batch=st.lists(odd_things, min_size=TOGETHER, max_size=TOGETHER))
def test_the_job_behind_odd_things_is_done(
    rig: Rig, watched: ServerProcess, report: Path, batch: Sequence[Odd]
) -> None:
    """By the same process, whose event loop nothing has held."""
    pid = watched.pid
    for odd in batch:
        _send(rig, odd)
    session_id = f"good-{uuid.uuid4().hex}"
    job = chat_task.delay(AGENT_ID, session_id, "still there?", model="instant")
    assert "still there?" in job.get(timeout=scaled(20))["response"], watched.log_tail()
    assert watched.is_running, watched.log_tail()
    assert watched.pid == pid
    took_s, what = slowest_of_worker(report)
    assert took_s < SLOWEST_S, what


def _send(rig: Rig, odd: Odd) -> None:
    match odd:
        case Element(data):
            rig.broker("LPUSH", "chat", data)
        case Broadcast(data):
            rig.broker("PUBLISH", "/1.celery.pidbox", data)
        case Stored(data):
            job_id, grace_ms = str(uuid.uuid4()), round(scaled(GRACE_S) * 1000)
            box = rig.mailbox(STORED_SESSION)
            rig.connection.run_last(*box.enqueue(job_id, data, cap=10_000, grace_ms=grace_ms))
            publish(app, job_id, {"agent_id": AGENT_ID, "session_id": STORED_SESSION}, {})
        case Scheduled(data):
            keys = rig.keyspace.session(AGENT_ID, f"fuzz-{uuid.uuid4().hex}")
            rig.connection.run(records.save(keys, "odd", data))
            due = due_list.schedule(rig.keyspace.schedules, keys.history, delay_ms=0)
            rig.connection.run(due)
        case Made(arguments):
            with suppress(ChatError, MemoryServiceError):
                schedules.create(AGENT_ID, f"fuzz-{uuid.uuid4().hex}", "hi", **arguments)  # type: ignore[arg-type]  # odd
        case Vectors(data):
            request_id = uuid.uuid4().hex
            rig.connection.run(embeddings.put(rig.keyspace, request_id, data, ttl_ms=60_000))
            tell_worker(request_id)
        case Sent(arguments, celery):
            with suppress(ChatError, Backpressure, InvalidInput, MemoryServiceError):
                chat_task.apply_async(kwargs=arguments, **celery)  # type: ignore[call-overload]  # odd

"""Cancel stops the model, leaves the session going on, and is remembered."""

import uuid

import pytest
from celery.exceptions import TaskRevokedError

from memory import get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import CancelOutcome, EventType, InvalidJob, app, chat_task, follow_job
from tests.waiting import wait_until

WAIT_S = 20
ENDLESS = "endless"


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


@pytest.fixture
def session_id() -> str:
    """A session of the test's own."""
    return f"session-{uuid.uuid4()}"


def said(session_id: str) -> list[tuple[object, object, object]]:
    """Role, text and mark of each message in the history."""
    history = get_redis_memory().get_conversation_history("energy", session_id)
    return [(past["role"], past["content"], past.get("cancelled")) for past in history]


def started(job_id: str) -> str:
    """Return the first piece of a job's reply, once it is there."""
    return next(event.text for event in follow_job(job_id) if event.type is EventType.TOKEN)


def test_a_running_job_is_stopped_at_the_model(session_id: str, ollama: OllamaStandIn) -> None:
    """The connection is closed, what was said is kept and marked, the next job runs."""
    running = chat_task.delay("energy", session_id, "talk for ever", model=ENDLESS)
    waiting = chat_task.delay("energy", session_id, "next")
    started(running.id)
    assert chat_task.cancel(running.id) is CancelOutcome.STOPPING
    wait_until(lambda: ollama.stats.active == 0, timeout_s=2, what="the model has stopped")
    with pytest.raises(TaskRevokedError):
        running.get(timeout=WAIT_S)
    assert "next" in waiting.get(timeout=WAIT_S)["response"]
    question, answer, *_ = said(session_id)
    assert question == ("user", "talk for ever", True)
    assert answer[0] == "assistant"
    assert answer[1]
    assert answer[2] is True
    assert ollama.stats.tokens_after_disconnect == 0


def test_a_follower_sees_the_end(session_id: str) -> None:
    """The last event says that it was cancelled, with the text that was kept."""
    job = chat_task.delay("energy", session_id, "talk for ever", model=ENDLESS)
    told = []
    for event in follow_job(job.id):
        told.append(event)
        if len(told) == 4:
            chat_task.cancel(job.id)
    assert told[-1].type is EventType.CANCELLED
    pieces = [event.text for event in told if event.type is EventType.TOKEN]
    assert "".join(pieces) == told[-1].text == said(session_id)[1][1]


def test_a_running_job_can_be_discarded(session_id: str) -> None:
    """Nothing of it is remembered."""
    job = chat_task.delay("energy", session_id, "forget this", model=ENDLESS)
    started(job.id)
    assert chat_task.cancel(job.id, policy="discard") is CancelOutcome.STOPPING
    with pytest.raises(TaskRevokedError):
        job.get(timeout=WAIT_S)
    assert said(session_id) == []


def test_a_waiting_job_is_taken_out_at_once(session_id: str, ollama: OllamaStandIn) -> None:
    """It never reaches the model; twice is harmless."""
    first = chat_task.delay("energy", session_id, "first", model="delay:1.0s")
    second = chat_task.delay("energy", session_id, "second")
    third = chat_task.delay("energy", session_id, "third")
    assert chat_task.cancel(second.id) is CancelOutcome.CANCELLED
    assert chat_task.cancel(second.id) is CancelOutcome.ALREADY
    with pytest.raises(TaskRevokedError):
        second.get(timeout=WAIT_S)
    assert third.get(timeout=WAIT_S)["history_messages"] == 2
    assert first.get(timeout=WAIT_S)
    assert [text for role, text, _ in said(session_id) if role == "user"] == ["first", "third"]
    assert not any(call.messages[-1]["content"] == "second" for call in ollama.calls)


def test_a_job_that_is_done_stays_done(session_id: str) -> None:
    """Too late is said, and nothing is changed."""
    job = chat_task.delay("energy", session_id, "quick")
    job.get(timeout=WAIT_S)
    before = said(session_id)
    assert chat_task.cancel(job.id) is CancelOutcome.DONE
    assert said(session_id) == before


def test_an_unknown_job_cannot_be_cancelled() -> None:
    """The error names it."""
    with pytest.raises(InvalidJob, match="nobody"):
        chat_task.cancel("nobody")


def test_celerys_own_revoke_of_a_waiting_job_cancels_it(session_id: str) -> None:
    """The session goes on behind it."""
    first = chat_task.delay("energy", session_id, "first", model="delay:1.0s")
    second = chat_task.delay("energy", session_id, "second")
    third = chat_task.delay("energy", session_id, "third")
    app.control.revoke(second.id)
    assert third.get(timeout=WAIT_S)["history_messages"] == 2
    assert first.get(timeout=WAIT_S)
    with pytest.raises(TaskRevokedError):
        second.get(timeout=WAIT_S)


def test_a_cancel_outlives_the_worker(stack: GriotStack, session_id: str) -> None:
    """Killed between the call and the stop, the job does not come back to life."""
    job = chat_task.delay("energy", session_id, "talk for ever", model=ENDLESS)
    started(job.id)
    (worker,) = (p for p in stack.processes if p.name == "worker")
    worker.freeze()
    assert chat_task.cancel(job.id) is CancelOutcome.STOPPING
    worker.kill()
    stack.worker(name="worker-2")
    with pytest.raises(TaskRevokedError):
        job.get(timeout=WAIT_S)
    assert said(session_id) == [("user", "talk for ever", True)]
    later = chat_task.delay("energy", session_id, "still there?")
    assert later.get(timeout=WAIT_S)

"""Cancel stops the model, leaves the session going on, and is remembered."""

import socket
import time
import uuid
from typing import Literal

import pytest
from celery.exceptions import TaskRevokedError

from memory import Command, get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import CancelOutcome, EventType, InvalidJob, app, chat_task, follow_job
from tasks.process.wakeup import publish, wakeup_kwargs
from tests.support.machine import scaled
from tests.support.waiting import elapsed, wait_until

WAIT_S = scaled(20)
ENDLESS = "endless"


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


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


def test_no_token_is_produced_later_than_a_second_after_a_cancel(
    stack: GriotStack, ollama: OllamaStandIn
) -> None:
    """Of twenty streams at once, by the model's own ledger: neither late nor a second time."""
    # With its default lease: what is in time here is no work of the lease's renewal.
    stack.worker("-Q", "patient", name="patient", CHAT_LEASE_SECONDS="30")
    ollama.reset()
    jobs = [
        chat_task.apply_async(
            ("energy", f"session-{uuid.uuid4()}", "talk for ever"),
            {"model": ENDLESS},
            queue="patient",
        )
        for _ in range(20)
    ]
    wait_until(lambda: ollama.stats.active == len(jobs), timeout_s=WAIT_S, what="all are asked")
    wait_until(elapsed(1), what="no lease is looked at for the first time any more")
    cancelled_s = {}
    for job in jobs:
        chat_task.cancel(job.id)
        cancelled_s[job.id] = time.monotonic()
    last_s = max(cancelled_s.values())
    wait_until(lambda: time.monotonic() >= last_s + scaled(1), what="a second has passed")
    tokens = ollama.stats.tokens
    assert all(call.finished_s is not None for call in ollama.calls)
    left_s = sorted(call.disconnected_s for call in ollama.calls if call.disconnected_s)
    late_s = [
        left - asked for left, asked in zip(left_s, sorted(cancelled_s.values()), strict=True)
    ]
    assert max(late_s) < scaled(1)
    wait_until(elapsed(0.3), what="time for a model that would go on")
    assert ollama.stats.tokens == tokens
    assert ollama.stats.requests == len(jobs)


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
    first = chat_task.delay("energy", session_id, "first", model=f"delay:{scaled(0.7)}s")
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


@pytest.mark.parametrize(
    ("model", "policy", "remembered"),
    [(ENDLESS, "keep", 2), ("hang", "keep", 1), ("hang", "discard", 0)],
)
def test_a_late_message_of_a_cancelled_job_changes_nothing(
    session_id: str,
    ollama: OllamaStandIn,
    model: str,
    policy: Literal["keep", "discard"],
    remembered: int,
) -> None:
    """It stays revoked, whatever was kept of it; who follows so late is told the same."""
    job = chat_task.delay("energy", session_id, "talk for ever", model=model)
    wait_until(lambda: ollama.stats.active == 1, what="the model is asked")
    if model == ENDLESS:
        started(job.id)
    chat_task.cancel(job.id, policy)
    with pytest.raises(TaskRevokedError):
        job.get(timeout=WAIT_S)
    kept = said(session_id)
    assert len(kept) == remembered
    assert [event.type for event in follow_job(job.id)][-1] is EventType.CANCELLED
    keys = get_redis_memory().keyspace.session("energy", session_id)
    get_redis_memory().connection.run(Command(bool, ("UNLINK", keys.events)))
    app.backend.forget(job.id)
    publish(app, job.id, wakeup_kwargs(keys, None), {})
    with pytest.raises(TaskRevokedError):
        chat_task.AsyncResult(job.id).get(timeout=WAIT_S)
    assert said(session_id) == kept
    (told,) = follow_job(job.id)
    assert told.type is EventType.CANCELLED
    assert told.text == (kept[1][1] if remembered == 2 else "")


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
    first = chat_task.delay("energy", session_id, "first", model=f"delay:{scaled(0.7)}s")
    second = chat_task.delay("energy", session_id, "second")
    third = chat_task.delay("energy", session_id, "third")
    app.control.revoke(second.id)
    assert third.get(timeout=WAIT_S)["history_messages"] == 2
    assert first.get(timeout=WAIT_S)
    with pytest.raises(TaskRevokedError):
        second.get(timeout=WAIT_S)


def test_celerys_own_revoke_terminates_a_job_wherever_it_is(
    stack: GriotStack, session_id: str, ollama: OllamaStandIn
) -> None:
    """Running or waiting for a place in the pool: it is cancelled, and takes no place for good."""
    stack.worker("-Q", "one", "-c", "1", "--prefetch-multiplier", "9", name="one")
    sent = [
        chat_task.apply_async(
            ("energy", f"{session_id}-{n}", "hello"), {"model": model}, queue="one"
        )
        for n, model in enumerate((ENDLESS, "echo", "echo"))
    ]
    started(sent[0].id)
    wait_until(lambda: _reserved("one") == {job.id for job in sent[1:]}, what="the others wait")
    for job in (sent[1], sent[0]):
        app.control.revoke(job.id, terminate=True)
    assert sent[2].get(timeout=WAIT_S)["history_messages"] == 0
    for job in sent[:2]:
        with pytest.raises(TaskRevokedError):
            job.get(timeout=WAIT_S)
    assert said(f"{session_id}-1") == []
    assert ollama.stats.active == 0


def _reserved(worker: str) -> set[str]:
    """The jobs that a worker has taken and not begun."""
    names = [f"{worker}@{socket.gethostname()}"]
    # On a connection of its own: one of the pool may lead to the server of another module.
    with app.connection_for_write() as connection:
        inspect = app.control.inspect(destination=names, timeout=scaled(1), connection=connection)
        told = inspect.reserved() or {}
    return {request["id"] for requests in told.values() for request in requests}


def test_a_cancel_outlives_the_worker(stack: GriotStack, session_id: str) -> None:
    """Killed between the call and the stop, the job does not come back to life; what its followers
    have seen of the answer is kept."""
    job = chat_task.delay("energy", session_id, "talk for ever", model=ENDLESS)
    started(job.id)
    (worker,) = (p for p in stack.processes if p.name == "worker")
    worker.freeze()
    assert chat_task.cancel(job.id) is CancelOutcome.STOPPING
    worker.kill()
    stack.worker(name="worker-2")
    with pytest.raises(TaskRevokedError):
        job.get(timeout=WAIT_S)
    told = list(follow_job(job.id))
    seen = "".join(event.text for event in told if event.type is EventType.TOKEN)
    assert (told[-1].type, told[-1].text) == (EventType.CANCELLED, seen)
    assert said(session_id) == [("user", "talk for ever", True), ("assistant", seen, True)]
    later = chat_task.delay("energy", session_id, "still there?")
    assert later.get(timeout=WAIT_S)

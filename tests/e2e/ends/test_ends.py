"""Each end of a job has its result and what follows it in Celery, whoever ended it."""

import uuid
from collections.abc import Iterator

import pytest
from celery import chord, group
from celery.exceptions import ChordError, TaskRevokedError
from celery.result import AsyncResult

from memory import Command, EventType, Mailbox, get_redis_memory, outbox
from memory.mailbox.outcomes import Ending
from memory.records.index import SETTLED_MS
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import (
    CancelOutcome,
    InvalidJob,
    JobConflict,
    JobErased,
    JobFailed,
    SessionBusy,
    app,
    chat_task,
    follow_job,
)
from tasks.submit.erase import erase
from tests.support.inbox import WAIT_S, Inbox
from tests.support.results import fetch
from tests.support.waiting import elapsed, wait_until

ENDLESS = "endless"


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


@pytest.fixture
def inbox(valkey: ValkeyServer) -> Iterator[Inbox]:
    """A queue of the test's own."""
    with app.connection_for_read(valkey.url(1)) as broker:
        yield Inbox(broker)


def running(session_id: str, **options: object) -> AsyncResult:
    """A job that runs until somebody stops it."""
    kwargs = {"agent_id": "energy", "session_id": session_id, "message": "go", "model": ENDLESS}
    job = chat_task.apply_async(kwargs=kwargs, **options)
    following = follow_job(job.id)
    while next(following).type is not EventType.TOKEN:
        pass
    return job


def arguments(session_id: str, message: str, **options: object) -> dict[str, object]:
    """The arguments of a job."""
    return {"agent_id": "energy", "session_id": session_id, "message": message, **options}


def test_links_follow_a_reply_and_a_cancel(session_id: str, inbox: Inbox) -> None:
    """`link` with the result; `link_error` with the job's id, also of a job that was waiting."""
    links = {"link": inbox.task("after"), "link_error": inbox.task("instead")}
    first = running(session_id)
    waiting = chat_task.apply_async(kwargs=arguments(session_id, "wait"), **links)
    assert chat_task.cancel(waiting.id) is CancelOutcome.CANCELLED
    (sent,) = inbox.received(1)
    assert sent[1:] == ("instead", waiting.id)
    answered = chat_task.apply_async(kwargs=arguments(session_id, "hello"), **links)
    chat_task.cancel(first.id)
    (sent,) = inbox.received(1)
    assert sent[1] == "after"
    assert sent[2] == answered.get(timeout=WAIT_S)


def test_links_follow_a_dead_job(session_id: str, inbox: Inbox, ollama: OllamaStandIn) -> None:
    """A job that the model refuses calls its errback; so does its second life, under another id."""
    ollama.script("refusing", ["bad-400"])
    kwargs = arguments(session_id, "hello", model="refusing")
    dead = chat_task.apply_async(kwargs=kwargs, link_error=[inbox.task("instead")])
    with pytest.raises(JobFailed):
        dead.get(timeout=WAIT_S)
    (sent,) = inbox.received(1)
    assert sent[1:] == ("instead", dead.id)


def test_callbacks_of_a_merged_job_follow_the_job_that_answers(
    session_id: str, inbox: Inbox
) -> None:
    """With its result, under an id of the merged job's own."""
    first = running(session_id)
    merged = chat_task.apply_async(
        kwargs=arguments(session_id, "one"), link=inbox.task("after-one")
    )
    kwargs = arguments(session_id, "two", on_busy="merge")
    carrier = chat_task.apply_async(kwargs=kwargs, link=inbox.task("after-two"))
    assert fetch(AsyncResult(merged.id, app=app), WAIT_S)["merged_into"] == carrier.id
    chat_task.cancel(first.id)
    result = carrier.get(timeout=WAIT_S)
    sent = {name: (task_id, given) for task_id, name, given in inbox.received(2)}
    assert {given["job_id"] for _, given in sent.values()} == {carrier.id}  # type: ignore[index]
    assert sent["after-one"][1] == result
    assert sent["after-one"][0] != sent["after-two"][0]


def test_a_chord_whose_members_are_answered_and_merged_runs_its_body(
    session_id: str, inbox: Inbox
) -> None:
    """Each member counts once, a merged one when the job that answers it ends."""
    first = running(session_id)
    header = group(
        chat_task.s(**arguments(session_id, "one")),
        chat_task.s(**arguments(session_id, "two", on_busy="merge")),
        chat_task.s(**arguments(f"{session_id}-2", "three")),
    )
    chord(header)(inbox.task("body"))
    chat_task.cancel(first.id)
    (sent,) = inbox.received(1)
    assert sent[1] == "body"
    results = sent[2]
    assert isinstance(results, list)
    assert [one["session_id"] for one in results] == [session_id, session_id, f"{session_id}-2"]


def test_a_chord_with_a_cancelled_member_fails_as_celerys_does(
    session_id: str, inbox: Inbox
) -> None:
    """The body does not run; it is stored as a ChordError."""
    first = running(session_id)
    header = [
        chat_task.s(**arguments(session_id, "one")),
        chat_task.s(**arguments(f"{session_id}-2", "two")),
    ]
    body = chord(header)(inbox.task("body"))
    pending = get_redis_memory().connection.run(
        Mailbox.of(get_redis_memory().keyspace, "energy", session_id).pending()
    )
    assert chat_task.cancel(pending[1]) is CancelOutcome.CANCELLED
    wait_until(lambda: body.state == "FAILURE", timeout_s=WAIT_S, what="the body has failed")
    assert isinstance(body.result, ChordError)
    chat_task.cancel(first.id)


def test_a_chain_goes_on_after_a_reply(session_id: str, inbox: Inbox) -> None:
    """The next task gets the result."""
    job = chat_task.s(**arguments(session_id, "hello"))
    (job | inbox.task("next")).apply_async()
    (sent,) = inbox.received(1)
    assert sent[1] == "next"
    assert sent[2]["session_id"] == session_id  # type: ignore[index]


def test_an_id_is_one_request_of_one_session(session_id: str) -> None:
    """A second session under it, and another request, are refused; the first stays as it is."""
    job_id = str(uuid.uuid4())
    first = chat_task.apply_async(kwargs=arguments(session_id, "mine"), task_id=job_id)
    reply = first.get(timeout=WAIT_S)
    for other in (arguments(f"{session_id}-2", "mine"), arguments(session_id, "another")):
        with pytest.raises(JobConflict):
            chat_task.apply_async(kwargs=other, task_id=job_id)
    app.send_task(
        "tasks.chat_task", kwargs=arguments(f"{session_id}-2", "raw"), task_id=job_id, queue="chat"
    )
    app.send_task(
        "tasks.chat_task",
        kwargs={"agent_id": "energy", "session_id": f"{session_id}-3"},
        task_id=job_id,
        queue="chat",
    )
    # Behind both messages, in the same queue.
    chat_task.delay("energy", f"{session_id}-4", "last").get(timeout=WAIT_S)
    assert fetch(AsyncResult(job_id, app=app), WAIT_S) == reply
    memory = get_redis_memory()
    assert memory.get_conversation_history("energy", f"{session_id}-2") == []
    assert [event.data.get("session_id") for event in follow_job(job_id)][-1] == session_id


def test_a_message_under_the_id_of_a_running_job_ends_nothing(session_id: str) -> None:
    """Neither a job of another session, nor a wake-up of one: whose id it is goes on."""
    first = running(session_id, task_id=str(uuid.uuid4()))
    asked = {"agent_id": "energy", "session_id": f"{session_id}-2", "message": "raw"}
    woken = {"agent_id": "energy", "session_id": f"{session_id}-3"}
    for kwargs in (asked, woken):
        app.send_task("tasks.chat_task", kwargs=kwargs, task_id=first.id, queue="chat")
    # Behind both messages, in the same queue.
    chat_task.delay("energy", f"{session_id}-4", "last").get(timeout=WAIT_S)
    assert first.state == "PENDING"
    assert chat_task.cancel(first.id) is CancelOutcome.STOPPING
    with pytest.raises(TaskRevokedError):
        first.get(timeout=WAIT_S)
    assert get_redis_memory().get_conversation_history("energy", f"{session_id}-2") == []


def test_a_refused_job_was_never_heard_of(session_id: str) -> None:
    """Cancelling it changes nothing, and it can be sent again under its id."""
    first, job_id = running(session_id), str(uuid.uuid4())
    kwargs = arguments(session_id, "me too", on_busy="reject")
    with pytest.raises(SessionBusy):
        chat_task.apply_async(kwargs=kwargs, task_id=job_id)
    with pytest.raises(InvalidJob, match="no such job"):
        chat_task.cancel(job_id)
    chat_task.cancel(first.id)
    with pytest.raises(TaskRevokedError):
        first.get(timeout=WAIT_S)
    again = chat_task.apply_async(kwargs=kwargs, task_id=job_id)
    assert "me too" in again.get(timeout=WAIT_S)["response"]


def test_a_cancel_whose_deliverer_died_is_revoked_in_time(session_id: str) -> None:
    """The end is in the outbox; cancelling again, and the sweeper, find it there."""
    first = running(session_id)
    waiting = chat_task.apply_async(kwargs=arguments(session_id, "wait"))
    memory = get_redis_memory()
    mailbox = Mailbox.of(memory.keyspace, "energy", session_id)
    calls = mailbox.discard(
        waiting.id, "cancelled", owner="dead", ending=Ending.CANCELLED, ttl_s=60, grace_ms=500
    )
    memory.connection.run_last(*calls)
    assert chat_task.cancel(waiting.id) is CancelOutcome.ALREADY
    with pytest.raises(TaskRevokedError):
        waiting.get(timeout=WAIT_S)
    wait_until(
        lambda: memory.connection.run(outbox.size(mailbox.keys)) == 0, what="it is delivered"
    )
    chat_task.cancel(first.id)


def test_a_cancel_that_nobody_heard_of_is_told_by_the_next(
    session_id: str, worker: ServerProcess
) -> None:
    """At once, and also where no worker looks after it."""
    first = running(session_id)
    waiting = chat_task.apply_async(kwargs=arguments(session_id, "wait"))
    memory = get_redis_memory()
    mailbox = Mailbox.of(memory.keyspace, "energy", session_id)
    worker.freeze()
    try:
        calls = mailbox.discard(
            waiting.id, "cancelled", owner="dead", ending=Ending.CANCELLED, ttl_s=60, grace_ms=0
        )
        memory.connection.run_last(*calls)
        assert chat_task.cancel(waiting.id) is CancelOutcome.ALREADY
        wait_until(lambda: waiting.state == "REVOKED", what="it is told")
    finally:
        worker.thaw()
    chat_task.cancel(first.id)


def test_a_result_that_has_expired_is_made_from_the_history(session_id: str) -> None:
    """`get` never hangs on a job that is over."""
    job = chat_task.delay("energy", session_id, "hello", metadata={"user_id": "u"})
    reply = job.get(timeout=WAIT_S)
    memory = get_redis_memory()
    keys = memory.keyspace.session("energy", session_id)
    wait_until(lambda: memory.connection.run(outbox.size(keys)) == 0, what="it is delivered")
    app.backend.delete(app.backend.get_key_for_task(job.id))
    app.backend._cache.clear()
    again = chat_task.AsyncResult(job.id)
    assert type(job)(again.id, app=app).get(timeout=WAIT_S)["response"] == reply["response"]


def test_a_dead_letter_of_a_session_without_history_is_found_and_erased(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """Listing the agent's sessions does not lose it; erasing the agent takes it."""
    agent_id = f"agent-{uuid.uuid4().hex[:8]}"
    ollama.script("refusing", ["bad-400"])
    dead = chat_task.delay(agent_id, session_id, "secret words", model="refusing")
    with pytest.raises(JobFailed):
        dead.get(timeout=WAIT_S)
    memory = get_redis_memory()
    keys = memory.keyspace.session(agent_id, session_id)
    wait_until(lambda: memory.connection.run(outbox.size(keys)) == 0, what="it is delivered")
    # A listing drops what leads nowhere, once it is old enough.
    wait_until(elapsed(SETTLED_MS / 1000 + 0.1), what="the session has not been used just now")
    assert memory.get_all_sessions_for_agent(agent_id) == []
    assert memory.clear_all_agent_data(agent_id) >= 1
    letters = memory.connection.run(Command(int, ("EXISTS", keys.dead)))
    assert letters == 0


def test_a_callback_that_is_refused_costs_no_other_anything(session_id: str, inbox: Inbox) -> None:
    """A chat job that a busy session refuses: the other callback is sent, the result is there."""
    busy = f"{session_id}-busy"
    first = running(busy)
    refused = chat_task.si(**arguments(busy, "no", on_busy="reject"))
    job = chat_task.apply_async(
        kwargs=arguments(session_id, "hello"), link=[refused, inbox.task("after")]
    )
    assert "hello" in job.get(timeout=WAIT_S)["response"]
    assert [name for _, name, _ in inbox.received(1)] == ["after"]
    memory = get_redis_memory()
    keys = memory.keyspace.session("energy", session_id)
    wait_until(lambda: memory.connection.run(outbox.size(keys)) == 0, what="it is delivered")
    chat_task.cancel(first.id)


def test_a_chain_of_a_merged_job_fails_with_the_job_that_answers(session_id: str) -> None:
    """Nothing waits for ever for the rest of it."""
    first = running(session_id)
    job = chat_task.s(**arguments(session_id, "one"))
    chain = (job | app.signature("somebody.elses")).apply_async()
    carrier = chat_task.apply_async(kwargs=arguments(session_id, "two", on_busy="merge"))
    assert chat_task.cancel(carrier.id) is CancelOutcome.CANCELLED
    wait_until(lambda: chain.state == "REVOKED", timeout_s=WAIT_S, what="the chain has failed")
    chat_task.cancel(first.id)


def test_a_reply_that_is_stored_is_replaced_by_the_erasure(session_id: str) -> None:
    """Though Celery's backend overwrites no success."""
    job = chat_task.delay("energy", session_id, "hello")
    job.get(timeout=WAIT_S)
    memory = get_redis_memory()
    keys = memory.keyspace.session("energy", session_id)
    wait_until(lambda: memory.connection.run(outbox.size(keys)) == 0, what="it is delivered")
    erase(app, "energy", session_id)
    erased = AsyncResult(job.id, app=app)
    wait_until(lambda: erased.state == "FAILURE", timeout_s=WAIT_S, what="it is replaced")


def test_who_asks_late_is_told_that_a_job_was_erased(session_id: str) -> None:
    """When stream, outbox and result are gone: not an answer without words, nor a cancel."""
    job = chat_task.delay("energy", session_id, "hello")
    job.get(timeout=WAIT_S)
    erase(app, "energy", session_id)
    memory = get_redis_memory()
    keys = memory.keyspace.session("energy", session_id)
    wait_until(lambda: memory.connection.run(outbox.size(keys)) == 0, what="it is delivered")
    memory.connection.run(Command(bool, ("UNLINK", keys.events)))
    assert [event.type for event in follow_job(job.id)] == [EventType.ERASED]
    app.backend.delete(app.backend.get_key_for_task(job.id))
    app.backend._cache.clear()
    again = type(job)(job.id, app=app)
    with pytest.raises(JobErased):
        again.get(timeout=WAIT_S)


def test_a_raw_job_may_want_no_result(session_id: str) -> None:
    """`ignore_result` of its message counts, whoever delivers."""
    kwargs = arguments(session_id, "hello")
    sent = app.send_task("tasks.chat_task", kwargs=kwargs, queue="chat", ignore_result=True)
    memory = get_redis_memory()
    keys = memory.keyspace.session("energy", session_id)
    wait_until(
        lambda: len(memory.get_conversation_history("energy", session_id)) == 2,
        timeout_s=WAIT_S,
        what="it is answered",
    )
    wait_until(lambda: memory.connection.run(outbox.size(keys)) == 0, what="it is delivered")
    assert sent.state == "PENDING"

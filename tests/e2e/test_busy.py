"""A user sends again while a turn runs: each `on_busy`, with a real worker and the stand-in."""

import uuid
from collections.abc import Callable

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult

from memory import Event, get_redis_memory
from sandbox.ollama import OllamaStandIn
from sandbox.ports import free_port
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import (
    CancelOutcome,
    EventType,
    JobConflict,
    OnBusy,
    SessionBusy,
    app,
    chat_task,
    follow_job,
)
from tasks.aio import aclose, send
from tasks.end.delivery import Delivery, deliver_ends
from tasks.job.envelope import Envelope
from tasks.job.job import ChatJob
from tasks.process.services import producer_services
from tasks.submit.producer import producer
from tests.support.machine import scaled
from tests.support.results import fetch
from tests.support.waiting import wait_until

WAIT_S = scaled(20)
ENDLESS = "endless"

Send = Callable[..., AsyncResult]


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


@pytest.fixture(params=["delay", "raw"])
def again(request: pytest.FixtureRequest, session_id: str) -> Send:
    """Sends one more message, with the producer or by name as a foreign service does."""

    def by_delay(message: str, **options: object) -> AsyncResult:
        return chat_task.delay("energy", session_id, message, **options)

    def by_name(message: str, **options: object) -> AsyncResult:
        kwargs = {"agent_id": "energy", "session_id": session_id, "message": message, **options}
        return app.send_task("tasks.chat_task", kwargs=kwargs)

    return by_delay if request.param == "delay" else by_name


def said(session_id: str) -> list[tuple[object, object]]:
    """Role and mark of each message in the history."""
    history = get_redis_memory().get_conversation_history("energy", session_id)
    return [(past["role"], past.get("cancelled")) for past in history]


def asked(session_id: str) -> list[object]:
    """The questions in the history."""
    history = get_redis_memory().get_conversation_history("energy", session_id)
    return [past["content"] for past in history if past["role"] == "user"]


def first_token(job_id: str) -> str:
    """The first piece of a job's reply, once it is there."""
    return next(event.text for event in follow_job(job_id) if event.type is EventType.TOKEN)


def last_event(job_id: str) -> Event:
    """How a job ends for who follows it."""
    return list(follow_job(job_id))[-1]


def running(session_id: str, message: str = "talk for ever", model: str = ENDLESS) -> AsyncResult:
    """A job whose reply has begun."""
    job = chat_task.delay("energy", session_id, message, model=model)
    first_token(job.id)
    return job


def test_reject_names_the_running_job(session_id: str, again: Send) -> None:
    """The error has its id, from `delay` and through the result backend alike; nothing was sent."""
    first = running(session_id)
    with pytest.raises(SessionBusy) as refused:
        fetch(again("and this?", on_busy="reject"), WAIT_S)
    assert refused.value.job_id == first.id
    assert SessionBusy(str(refused.value)).job_id == first.id
    chat_task.cancel(first.id)
    with pytest.raises(TaskRevokedError):
        first.get(timeout=WAIT_S)
    assert fetch(again("and now?", on_busy="reject"), WAIT_S)["history_messages"] == 2
    assert asked(session_id) == ["talk for ever", "and now?"]


def test_interrupt_keeps_what_was_said_and_answers_next(
    session_id: str, again: Send, ollama: OllamaStandIn
) -> None:
    """The model is stopped within a second; the new message is answered on what was kept."""
    first = running(session_id)
    second = again("stop, this instead", on_busy="interrupt")
    wait_until(lambda: ollama.stats.active == 0, timeout_s=3, what="the model has stopped")
    assert fetch(second, WAIT_S)["history_messages"] == 2
    with pytest.raises(TaskRevokedError):
        first.get(timeout=WAIT_S)
    assert last_event(first.id).type is EventType.CANCELLED
    roles = [("user", True), ("assistant", True), ("user", None), ("assistant", None)]
    assert said(session_id) == roles
    assert ollama.stats.tokens_after_disconnect == 0


def test_interrupt_keeps_the_questions_that_wait(session_id: str) -> None:
    """In their order, unanswered; who comes after the interrupt is answered."""
    first = running(session_id)
    second = chat_task.delay("energy", session_id, "waiting")
    third = chat_task.delay("energy", session_id, "stop", on_busy=OnBusy.INTERRUPT)
    fourth = chat_task.delay("energy", session_id, "later")
    assert third.get(timeout=WAIT_S)["history_messages"] == 3
    assert fourth.get(timeout=WAIT_S)["history_messages"] == 5
    for job in (first, second):
        with pytest.raises(TaskRevokedError):
            job.get(timeout=WAIT_S)
    assert asked(session_id) == ["talk for ever", "waiting", "stop", "later"]


def test_rollback_removes_the_turn_and_its_message(
    session_id: str, again: Send, ollama: OllamaStandIn
) -> None:
    """As if it had not been sent: the model that answers next sees nothing of it."""
    first = running(session_id)
    waiting = chat_task.delay("energy", session_id, "and more")
    second = again("start anew", on_busy="rollback")
    assert fetch(second, WAIT_S)["history_messages"] == 0
    for job in (first, waiting):
        with pytest.raises(TaskRevokedError):
            job.get(timeout=WAIT_S)
        assert last_event(job.id).type is EventType.CANCELLED
    assert asked(session_id) == ["start anew"]
    wait_until(lambda: ollama.stats.active == 0, timeout_s=3, what="the model has stopped")
    assert chat_task.cancel(first.id) is CancelOutcome.ALREADY


def test_replace_pending_withdraws_what_waits(session_id: str, again: Send) -> None:
    """The running turn goes on to its end, the new message is next."""
    first = running(session_id, "first", model=f"slow-tokens:10x{scaled(0.1)}s")
    second = chat_task.delay("energy", session_id, "second")
    third = again("third", on_busy="replace_pending")
    assert last_event(second.id).type is EventType.CANCELLED
    with pytest.raises(TaskRevokedError):
        second.get(timeout=WAIT_S)
    assert fetch(third, WAIT_S)["history_messages"] == 2
    assert first.get(timeout=WAIT_S)["done_reason"] == "stop"
    assert asked(session_id) == ["first", "third"]


def test_merge_answers_all_messages_of_a_user_at_once(
    session_id: str, again: Send, ollama: OllamaStandIn
) -> None:
    """One turn, one model call; who waits for a merged job gets the answer that it is in."""
    mine, yours = {"user_id": "me"}, {"user_id": "you"}
    first = running(session_id, "first", model=f"slow-tokens:10x{scaled(0.1)}s")
    jobs = [chat_task.delay("energy", session_id, text, metadata=mine) for text in ("a", "b")]
    other = chat_task.delay("energy", session_id, "yours", metadata=yours)
    last = again("c", on_busy="merge", metadata=mine)
    result = fetch(last, WAIT_S)
    assert result["history_messages"] == 4
    for job in jobs:
        ending = last_event(job.id)
        assert (ending.type, ending.data) == (EventType.MERGED, {"into": last.id})
        assert job.get(timeout=WAIT_S)["response"] == result["response"]
        assert fetch(AsyncResult(job.id, app=app), WAIT_S)["merged_into"] == last.id
    assert first.get(timeout=WAIT_S)
    assert other.get(timeout=WAIT_S)
    assert asked(session_id) == ["first", "yours", "a\n\nb\n\nc"]
    history = get_redis_memory().get_conversation_history("energy", session_id)
    assert [one["job_id"] for one in history[-2]["merged"]] == [job.id for job in jobs]
    assert sum(call.messages[-1]["content"] == "a\n\nb\n\nc" for call in ollama.calls) >= 1
    assert not any(call.messages[-1]["content"] in ("a", "b", "c") for call in ollama.calls)


def test_the_place_of_a_message_is_told_at_once(session_id: str) -> None:
    """The first event of each job says how many are before it."""
    first = running(session_id)
    others = [chat_task.delay("energy", session_id, "next") for _ in range(2)]
    told = [next(iter(follow_job(job.id))) for job in (first, *others)]
    assert [event.type for event in told] == [EventType.QUEUED] * 3
    assert [event.data["position"] for event in told] == [0, 1, 2]
    chat_task.cancel(first.id)
    assert others[1].get(timeout=WAIT_S)


def test_the_same_key_is_the_same_job_and_never_another(session_id: str) -> None:
    """Before its turn and after it; the metadata may differ, the text may not."""
    first = chat_task.delay("energy", session_id, "once", idempotency_key="k", metadata={"n": 1})
    repeat = chat_task.delay("energy", session_id, "once", idempotency_key="k", metadata={"n": 2})
    assert repeat.id == first.id
    with pytest.raises(JobConflict, match="idempotency_key"):
        chat_task.delay("energy", session_id, "twice", idempotency_key="k")
    # A second message of a job that is done may store its result first, without the times.
    results = [job.get(timeout=WAIT_S) for job in (first, repeat)]
    assert len({(result["job_id"], result["response"]) for result in results}) == 1
    with pytest.raises(JobConflict, match="task_id"):
        chat_task.apply_async(("energy", session_id, "twice"), task_id=first.id)
    again = chat_task.delay("energy", session_id, "once", idempotency_key="k")
    assert again.get(timeout=WAIT_S)["response"] == first.get()["response"]
    assert asked(session_id) == ["once"]


def test_a_raw_job_under_anothers_id_takes_nothing_from_it(session_id: str) -> None:
    """Its message is no more than a wake-up: the first one's text is answered, and its result."""
    first = chat_task.delay("energy", session_id, "mine", model=f"delay:{scaled(0.4)}s")
    kwargs = {"agent_id": "energy", "session_id": session_id, "message": "not mine"}
    app.send_task("tasks.chat_task", kwargs=kwargs, task_id=first.id)
    app.send_task("tasks.chat_task", kwargs={**kwargs, "on_busy": "interrupt"}, task_id=first.id)
    assert "mine" in first.get(timeout=WAIT_S)["response"]
    after = chat_task.delay("energy", session_id, "after")
    assert after.get(timeout=WAIT_S)["history_messages"] == 2
    assert asked(session_id) == ["mine", "after"]


@pytest.mark.parametrize("on_busy", ["interrupt", "rollback", "replace_pending", "merge"])
def test_messages_that_cross_the_commit_are_all_accounted_for(
    session_id: str, on_busy: str
) -> None:
    """Sent at the very moments at which turns end: each has one outcome, and the last is a turn."""
    jobs: list[AsyncResult] = []
    for number in range(30):
        job = chat_task.delay("energy", session_id, f"m{number}", on_busy=on_busy, model="instant")
        jobs.append(job)
        if number % 5 == 0:
            job.get(timeout=WAIT_S, propagate=False)
    for job in jobs:
        job.get(timeout=WAIT_S, propagate=False)
    history = get_redis_memory().get_conversation_history("energy", session_id)
    turns = [past["job_id"] for past in history if past["role"] == "user"]
    kept = {past["job_id"] for past in history if past.get("cancelled")}
    sent = [job.id for job in jobs]
    assert turns == sorted(set(turns), key=sent.index), "once, and in the order sent"
    assert turns[-1] == sent[-1]
    for job in jobs:
        ended = AsyncResult(job.id, app=app)
        if job.id in turns and job.id not in kept:
            assert (ended.state, "merged_into" in ended.result) == ("SUCCESS", False)
        elif on_busy == "merge":
            assert ended.result["merged_into"] in sent
        else:
            assert ended.state == "REVOKED"


def test_an_interrupt_outlives_the_worker(stack: GriotStack, session_id: str) -> None:
    """Killed before it could stop; the next one keeps what was said, and goes on."""
    first = running(session_id)
    workers = [process for process in stack.processes if process.name == "worker"]
    workers[-1].freeze()
    second = chat_task.delay("energy", session_id, "instead", on_busy="interrupt")
    workers[-1].kill()
    stack.worker()
    assert second.get(timeout=WAIT_S)["history_messages"] == 2
    with pytest.raises(TaskRevokedError):
        first.get(timeout=WAIT_S)
    roles = [("user", True), ("assistant", True), ("user", None), ("assistant", None)]
    assert said(session_id) == roles
    told = list(follow_job(first.id))
    seen = "".join(event.text for event in told if event.type is EventType.TOKEN)
    assert told[-1].text == seen


@pytest.mark.parametrize("on_busy", [OnBusy.ROLLBACK, OnBusy.REPLACE_PENDING, OnBusy.MERGE])
def test_what_a_dead_sender_did_to_others_is_told_by_the_sweeper(
    session_id: str, on_busy: OnBusy
) -> None:
    """It is killed between the operation and the telling: results and last events come all the
    same."""
    first = running(session_id)
    second = chat_task.delay("energy", session_id, "second")
    asked_for = {"session_id": session_id, "message": "third", "on_busy": on_busy}
    job = ChatJob.checked({"agent_id": "energy", **asked_for}, max_message_bytes=100)
    third = producer().submission(Envelope(job=job), str(uuid.uuid4()))
    producer_services().memory.run_last(*third.commands)
    ended = AsyncResult(second.id, app=app)
    wait_until(ended.ready, timeout_s=WAIT_S, what="the sweeper has told it")
    if on_busy is OnBusy.MERGE:
        assert ended.result["merged_into"] == third.job_id
        assert last_event(second.id).data == {"into": third.job_id}
    else:
        assert ended.state == "REVOKED"
        assert last_event(second.id).type is EventType.CANCELLED
    chat_task.cancel(first.id)
    assert chat_task.AsyncResult(third.job_id).get(timeout=WAIT_S)["response"]


def test_what_cannot_be_told_stays_to_be_told(session_id: str) -> None:
    """The sender's result backend is away: the job is in all the same, and the sweeper tells."""
    first = running(session_id)
    second = chat_task.delay("energy", session_id, "second")
    asked_for = {"session_id": session_id, "message": "third", "on_busy": "replace_pending"}
    job = ChatJob.checked({"agent_id": "energy", **asked_for}, max_message_bytes=100)
    third = producer().submission(Envelope(job=job), str(uuid.uuid4()))
    enqueued = producer_services().memory.run_last(*third.commands)
    away = Celery("away", backend=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    away.conf.result_backend_transport_options = {"retry_policy": {"timeout": 0.2}}
    services = producer_services()
    memory, keyspace, owner = services.memory, services.keyspace, third.intake.owner
    assert enqueued.ended == 1
    assert not deliver_ends(
        Delivery(away), memory, keyspace, third.keys, owner=owner, claim_ms=1000
    )
    ended = AsyncResult(second.id, app=app)
    wait_until(ended.ready, timeout_s=WAIT_S, what="the sweeper has told it")
    assert ended.state == "REVOKED"
    chat_task.cancel(first.id)


async def test_an_event_loop_sends_with_the_same_effects(session_id: str) -> None:
    """`tasks.aio.send`: refused, and interrupting."""
    try:
        first = await send("energy", session_id, "talk for ever", model=ENDLESS)
        with pytest.raises(SessionBusy) as refused:
            await send("energy", session_id, "no", on_busy="reject")
        assert refused.value.job_id == first.id
        second = await send("energy", session_id, "yes", on_busy="rollback")
        assert second.get(timeout=WAIT_S)["history_messages"] == 0
        with pytest.raises(TaskRevokedError):
            first.get(timeout=WAIT_S)
    finally:
        await aclose()

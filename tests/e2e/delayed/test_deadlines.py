"""A job that has not begun by its time ends in its turn, without a call of the model."""

from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery

from memory import dead_letters, get_redis_memory
from memory.mailbox.mailbox import Mailbox
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import (
    EventType,
    InvalidJob,
    JobExpired,
    JobFailed,
    aio,
    app,
    chat_task,
    follow_job,
    schedules,
)
from tasks.process.services import producer_services
from tests.support.machine import scaled

WAIT_S = scaled(20)
PAST = datetime(2026, 1, 1, tzinfo=UTC)
SLOW = "slow-tokens:20x50ms"


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


@pytest.fixture
def foreign() -> Celery:
    """A service that imports nothing of ours."""
    conf = app.conf
    plain = Celery("foreign", broker=conf.broker_url, backend=conf.result_backend)
    plain.conf.update(
        task_default_queue=conf.task_default_queue,
        broker_transport_options=conf.broker_transport_options,
        result_backend_transport_options=conf.result_backend_transport_options,
    )
    return plain


def questions(session_id: str) -> list[str]:
    """What was asked, as the history has it."""
    history = get_redis_memory().get_conversation_history("energy", session_id)
    return [str(past["content"]) for past in history if past["role"] == "user"]


def letters(session_id: str) -> int:
    """How many dead letters a session has."""
    services = producer_services()
    mailbox = Mailbox.of(services.keyspace, "energy", session_id)
    return len(services.memory.run(dead_letters.letters(mailbox)).letters)


def test_a_job_that_comes_too_late_ends_in_its_place_and_the_next_goes_on(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """Without a call of the model or a dead letter; who follows it and who waits are told."""
    ollama.reset()
    slow = chat_task.delay("energy", session_id, "slow", model=SLOW)
    late = chat_task.delay("energy", session_id, "late", expires=0.2)
    again = chat_task.apply_async(("energy", session_id, "late"), task_id=late.id, expires=30)
    assert again.id == late.id, "the deadline is no part of the request: the first one counts"
    after = chat_task.delay("energy", session_id, "after", expires=3600)
    with pytest.raises(JobExpired, match="had not begun when it expired"):
        late.get(timeout=WAIT_S)
    assert "slow" in questions(session_id), "in its place: not before the one ahead was over"
    slow.get(timeout=WAIT_S)
    after.get(timeout=WAIT_S)
    assert (late.state, questions(session_id)) == ("FAILURE", ["slow", "after"])
    assert (letters(session_id), ollama.stats.requests) == (0, 2)
    last = list(follow_job(late.id))[-1]
    assert (last.type, last.data["code"]) == (EventType.FAILED, "expired")
    assert isinstance(late.result, JobFailed), "whoever catches that catches this"


@pytest.mark.parametrize("expires", [PAST, 0.3])
def test_a_raw_job_of_any_celery_client_expires_like_any_other(
    session_id: str, foreign: Celery, expires: datetime | float
) -> None:
    """Be it over when a worker gets the message, which Celery itself would drop then, or later."""
    slow = chat_task.delay("energy", session_id, "slow", model=SLOW)
    named = {"agent_id": "energy", "session_id": session_id, "message": "late"}
    late = foreign.send_task("tasks.chat_task", kwargs=named, expires=expires)
    with pytest.raises(JobExpired):
        chat_task.AsyncResult(late.id).get(timeout=WAIT_S)
    assert questions(session_id) == ["slow"]
    slow.get(timeout=WAIT_S)
    assert foreign.AsyncResult(late.id).state == "FAILURE"


def test_a_raw_job_in_time_is_answered(session_id: str, foreign: Celery) -> None:
    """By the times that Celery's own client writes."""
    named = {"agent_id": "energy", "session_id": session_id, "message": "early"}
    sent = foreign.send_task("tasks.chat_task", kwargs=named, expires=300)
    assert "early" in chat_task.AsyncResult(sent.id).get(timeout=WAIT_S)["response"]


def test_a_job_that_began_in_time_is_not_expired_by_a_retry(session_id: str) -> None:
    """Its attempts go on after its time, until there are none left."""
    for expires_s in (0.3, 1.2, 4.8):
        job = chat_task.delay("energy", session_id, "again", model="cut:1", expires=expires_s)
        with pytest.raises(JobFailed) as failed:
            job.get(timeout=WAIT_S)
        # A busy machine may not even begin it in time.
        if not isinstance(failed.value, JobExpired):
            break
    assert not isinstance(failed.value, JobExpired)
    assert letters(session_id) == 1


async def test_it_is_an_option_of_each_way_to_send(session_id: str) -> None:
    """Also of many at once; each job has its own."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    many = await aio.send_many(
        [
            {"agent_id": "energy", "session_id": session_id, "message": one, "expires": when}
            for one, when in (("slow", 60), ("late", PAST), ("after", tomorrow))
        ]
    )
    sent = await aio.send("energy", session_id, "last", expires=PAST.isoformat())
    ends = [[event async for event in aio.follow_job(one)][-1] for one in (many[1].job_id, sent.id)]
    assert [event.data["code"] for event in ends] == ["expired", "expired"]
    assert questions(session_id) == ["slow", "after"]
    await aio.aclose()


def test_each_tick_of_a_schedule_has_its_own_deadline(session_id: str) -> None:
    """Seconds from its sending; a time would be over after the first ticks."""
    made = schedules.create("energy", session_id, "news", every_s=3600, expires=60)
    assert schedules.find(made.schedule_id).options["expires"] == 60
    with pytest.raises(InvalidJob, match="number of seconds"):
        schedules.create("energy", session_id, "news", every_s=3600, expires=PAST)
    schedules.delete(made.schedule_id)

"""A turn that runs for longer than its `timeout_s` is stopped, and its job fails."""

from pathlib import Path

import pytest
from celery import Celery

from memory import dead_letters, get_redis_memory
from memory.mailbox.mailbox import Mailbox
from memory.redis.command import Command
from memory.redis.replies import integer
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import EventType, InvalidJob, JobFailed, JobTimeout, aio, app, chat_task, follow_job
from tasks.process.services import producer_services
from tests.support.machine import scaled
from tests.support.waiting import wait_until

WAIT_S = scaled(20)
ENDLESS = "slow-tokens:400x50ms"
SHORT_S = scaled(0.5)


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack, tmp_path_factory: pytest.TempPathFactory) -> ServerProcess:
    """One worker for all tests of this module; one of its agents has a bound of its own."""
    profiles = Path(tmp_path_factory.mktemp("profiles"), "profiles.toml")
    profiles.write_text(f"[agents.hasty]\ntimeout_s = {SHORT_S}\n")
    return stack.worker(AGENT_PROFILES=str(profiles))


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


def history(agent_id: str, session_id: str) -> list[dict[str, object]]:
    """What the history has of a session."""
    return list(get_redis_memory().get_conversation_history(agent_id, session_id))


def letters(session_id: str) -> int:
    """How many dead letters a session has."""
    services = producer_services()
    mailbox = Mailbox.of(services.keyspace, "energy", session_id)
    return len(services.memory.run(dead_letters.letters(mailbox)).letters)


def test_a_turn_that_runs_too_long_is_stopped_and_kept_as_far_as_it_came(
    session_id: str, ollama: OllamaStandIn
) -> None:
    """In its place: the next one goes on. Nothing is tried again, and there is no dead letter."""
    ollama.reset()
    late = chat_task.delay("energy", session_id, "long", model=ENDLESS, timeout_s=SHORT_S)
    after = chat_task.delay("energy", session_id, "after", timeout_s=600)
    with pytest.raises(JobTimeout, match="timeout_s"):
        late.get(timeout=WAIT_S)
    assert isinstance(late.result, JobFailed), "whoever catches that catches this"
    after.get(timeout=WAIT_S)
    assert (late.state, letters(session_id), ollama.stats.requests) == ("FAILURE", 0, 2)
    last = list(follow_job(late.id))[-1]
    assert (last.type, last.data["code"]) == (EventType.FAILED, "timeout")
    question, said, *_ = history("energy", session_id)
    assert (question["content"], said["content"]) == ("long", last.text)
    assert said["cancelled"] is True
    wait_until(lambda: not ollama.stats.active, timeout_s=WAIT_S, what="the call is closed")


def test_the_end_is_found_in_the_history_once_result_and_events_are_gone(session_id: str) -> None:
    """As one that failed, not as one that somebody cancelled."""
    late = chat_task.delay("energy", session_id, "long", model=ENDLESS, timeout_s=SHORT_S)
    with pytest.raises(JobTimeout):
        late.get(timeout=WAIT_S)
    keys = producer_services().keyspace.session("energy", session_id)
    producer_services().memory.run(Command(integer, ("DEL", keys.events)))
    last = list(follow_job(late.id))[-1]
    assert (last.type, last.data["code"]) == (EventType.FAILED, "timeout")


def test_an_agent_has_a_bound_for_jobs_that_have_none(session_id: str) -> None:
    """A job's own comes before it."""
    late = chat_task.delay("hasty", session_id, "long", model=ENDLESS)
    with pytest.raises(JobTimeout):
        late.get(timeout=WAIT_S)
    own = chat_task.delay("hasty", session_id, "own", model="slow-tokens:40x50ms", timeout_s=600)
    own.get(timeout=WAIT_S)


@pytest.mark.parametrize("is_raw", [False, True])
def test_celerys_time_limits_mean_the_same(session_id: str, foreign: Celery, is_raw: bool) -> None:
    """Of `apply_async`, and of a message of any Celery client; no process is killed for them."""
    named = {"agent_id": "energy", "session_id": session_id, "message": "x", "model": ENDLESS}
    limits = {"time_limit": 600, "soft_time_limit": SHORT_S}
    if is_raw:
        job_id = foreign.send_task("tasks.chat_task", kwargs=named, **limits).id
    else:
        job_id = chat_task.apply_async(kwargs=named, **limits).id  # type: ignore[arg-type]  # of a job
    with pytest.raises(JobTimeout):
        chat_task.AsyncResult(job_id).get(timeout=WAIT_S)


async def test_it_is_an_option_of_each_way_to_send(session_id: str) -> None:
    """Also of many at once; what cannot be meant is refused before anything is sent."""
    job = {"agent_id": "energy", "session_id": session_id, "message": "x", "model": ENDLESS}
    many = await aio.send_many([job | {"timeout_s": SHORT_S}, job | {"timeout_s": 0}])
    assert [one.outcome for one in many] == ["accepted", "refused"]
    ends = [event async for event in aio.follow_job(many[0].job_id)][-1]
    assert ends.data["code"] == "timeout"
    with pytest.raises(InvalidJob, match="timeout_s"):
        await aio.send("energy", session_id, "x", timeout_s=-1)
    await aio.aclose()

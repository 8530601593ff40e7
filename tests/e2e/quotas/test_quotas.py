"""Quotas with real processes: both doors keep them, and every end of a job makes room again."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery.result import AsyncResult
from click.testing import CliRunner

from memory import locate
from memory.quotas import pending
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import EventType, JobFailed, JobResult, QuotaExceeded, app, chat_task, follow_job
from tasks.process.services import producer_services
from tasks.submit.dead_letters import requeue
from tests.conftest import FAST
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import run_python, warm
from worker.cli import main

WAIT_S = scaled(20)
ENDLESS = "endless"
TOKENS = 40
QUOTA = {
    "CHAT_USER_JOBS_AT_ONCE": "2",
    "CHAT_USER_TOKENS_PER_DAY": str(TOKENS),
    "CHAT_MAX_RESULT_BYTES": "4096",
}
PROFILES = """
[agents.energy]
[agents.water.quota]
jobs_per_minute = 2
"""
SENDER = """
import asyncio
from tasks import QuotaExceeded, chat_task
from tasks.aio import aclose, send

def told(error):
    print(type(error).__name__, error.retry_after_s > 0, error)

async def by_loop():
    try:
        await send("water", "s3", "hello")
    except QuotaExceeded as error:
        told(error)
    await aclose()

print(chat_task.delay("water", "s1", "hello").id)
print(chat_task.delay("water", "s2", "hello").id)
try:
    chat_task.delay("water", "s3", "hello")
except QuotaExceeded as error:
    told(error)
asyncio.run(by_loop())
"""


@pytest.fixture(scope="module")
def stack(
    valkey: ValkeyServer,
    ollama: OllamaStandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GriotStack]:
    """Processes with quotas."""
    profiles = tmp_path_factory.mktemp("profiles") / "profiles.toml"
    profiles.write_text(PROFILES)
    settings = {**FAST, **QUOTA, "AGENT_PROFILES": str(profiles)}
    logs = tmp_path_factory.mktemp("logs")
    with GriotStack(
        logs, redis_url=valkey.url(), ollama_url=ollama.url, settings=settings, starter=warm
    ) as made:
        yield made
        made.stop(grace_s=0)


@pytest.fixture(scope="module", autouse=True)
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for all tests of this module."""
    return stack.worker()


def raw(user: str, model: str = "ok", session: str | None = None) -> JobResult:
    """A job of a user, sent by name as a foreign service does. Celery's own `get` may miss a result
    that comes while it subscribes."""
    kwargs = {
        "agent_id": "energy",
        "session_id": session or f"session-{uuid.uuid4()}",
        "message": "hello",
        "model": model,
        "metadata": {"user_id": user},
    }
    return JobResult(app.send_task("tasks.chat_task", kwargs=kwargs).id, app=app)


def pending_jobs() -> int:
    """How many jobs count as pending."""
    services = producer_services()
    return services.memory.run(pending.look(services.keyspace, "energy")).pending


def first_token(job_id: str) -> None:
    """Wait until the job's reply has begun."""
    next(event for event in follow_job(job_id) if event.type is EventType.TOKEN)


# ---- the doors


def test_a_raw_job_beyond_a_quota_fails_and_the_next_is_taken_once_one_has_ended() -> None:
    """FAILURE QuotaExceeded, with when to come again; another user is served."""
    user = f"user-{uuid.uuid4()}"
    # An endless reply would use the day's tokens up on a slow machine.
    running = [raw(user, "hang") for _ in range(2)]
    for job in running:
        wait_until(lambda job=job: is_known(job), timeout_s=WAIT_S, what="it is taken in")
    with pytest.raises(QuotaExceeded, match="CHAT_USER_JOBS_AT_ONCE") as caught:
        raw(user).get(timeout=WAIT_S)
    assert caught.value.retry_after_s == 1
    assert raw("another user").get(timeout=WAIT_S)["response"]
    chat_task.cancel(running[0].id)
    wait_until(lambda: pending_jobs() == 1, timeout_s=WAIT_S, what="the cancelled job has ended")
    assert raw(user).get(timeout=WAIT_S)["response"]
    chat_task.cancel(running[1].id)


def is_known(job: AsyncResult) -> bool:
    """Whether a worker has taken a raw job in."""
    services = producer_services()
    return services.memory.run(locate(services.keyspace, job.id)) is not None


def test_a_user_pays_with_the_tokens_of_the_turn() -> None:
    """The first job is answered, whatever it costs; then the day's tokens are used up."""
    user = f"user-{uuid.uuid4()}"
    usage = raw(user).get(timeout=WAIT_S)["usage"]
    while sum(usage.values()) <= TOKENS:
        usage = {"all": sum(usage.values()) + sum(raw(user).get(timeout=WAIT_S)["usage"].values())}
    with pytest.raises(QuotaExceeded, match=f"{TOKENS} tokens per day") as caught:
        raw(user).get(timeout=WAIT_S)
    assert caught.value.retry_after_s > 0
    assert CliRunner().invoke(main, ["erase", "user", user]).exit_code == 0
    assert raw(user).get(timeout=WAIT_S)["response"], "an erased user begins anew"


def use_up_by_cancelling(user: str) -> None:
    """Stop a job whose reply has as many pieces as the user has tokens."""
    job = raw(user, ENDLESS)
    wait_until(lambda: is_known(job), timeout_s=WAIT_S, what="it is taken in")
    said = 0
    for event in follow_job(job.id):
        said += len(event.text.split()) if event.type is EventType.TOKEN else 0
        if said > TOKENS:
            break
    chat_task.cancel(job.id)
    job.get(timeout=WAIT_S, propagate=False)


def use_up_by_failing(user: str) -> None:
    """Break each reply off in its middle, until the job is given up."""
    raw(user, "cut").get(timeout=WAIT_S, propagate=False)


@pytest.mark.parametrize("use_up", [use_up_by_cancelling, use_up_by_failing])
def test_a_reply_that_nobody_gets_is_paid_for_too(use_up: Callable[[str], None]) -> None:
    """Its model has worked for it; or who cancels in time would never pay."""
    user = f"user-{uuid.uuid4()}"
    use_up(user)
    with pytest.raises(QuotaExceeded, match=f"{TOKENS} tokens per day"):
        raw(user).get(timeout=WAIT_S)


def test_delay_and_send_refuse_a_job_beyond_the_quota_of_its_agent(
    stack: GriotStack, tmp_path: Path
) -> None:
    """Both say when there is room."""
    done = run_python("-c", SENDER, env=stack.env, cwd=tmp_path, timeout_s=scaled(60))
    assert done.returncode == 0, done.stderr
    *jobs, by_delay, by_loop = done.stdout.splitlines()
    for job in jobs:
        assert chat_task.AsyncResult(job).get(timeout=WAIT_S)["response"]
    for said in (by_delay, by_loop):
        assert said.startswith("QuotaExceeded True the 2 jobs per minute of agent water")


def test_a_result_that_is_too_large_makes_a_dead_letter(session_id: str) -> None:
    """It names the setting; the session goes on."""
    large = chat_task.delay("energy", session_id, "hello", metadata={"note": "x" * 4096})
    with pytest.raises(JobFailed, match=r"the limit is 4096 \(CHAT_MAX_RESULT_BYTES\)"):
        large.get(timeout=WAIT_S)
    assert chat_task.delay("energy", session_id, "hello").get(timeout=WAIT_S)["response"]


# ---- the ends


def answered(session_id: str, _: OllamaStandIn) -> None:
    """The usual end."""
    chat_task.delay("energy", session_id, "hello").get(timeout=WAIT_S)


def cancelled_while_running(session_id: str, _: OllamaStandIn) -> None:
    """The worker ends it; what waits behind it is withdrawn by the canceller."""
    running = chat_task.delay("energy", session_id, "hello", model=ENDLESS)
    waiting = chat_task.delay("energy", session_id, "hello")
    first_token(running.id)
    chat_task.cancel(waiting.id)
    chat_task.cancel(running.id)


def given_up(session_id: str, ollama: OllamaStandIn) -> None:
    """A dead letter; and sent again another."""
    ollama.script("ok", ["bad-400", "bad-400"])
    sent = chat_task.delay("energy", session_id, "hello", model="ok")
    for job_id in (sent.id, None):
        again = job_id or requeue(app, sent.id)
        wait_until(AsyncResult(again, app=app).ready, timeout_s=WAIT_S, what="it is a dead letter")


def merged_and_replaced(session_id: str, _: OllamaStandIn) -> None:
    """By the sender of another job."""
    running = chat_task.delay("energy", session_id, "hello", model=ENDLESS)
    first_token(running.id)
    for on_busy in ("enqueue", "merge", "replace_pending", "rollback"):
        last = chat_task.delay("energy", session_id, on_busy, on_busy=on_busy)
    last.get(timeout=WAIT_S)


def erased(session_id: str, _: OllamaStandIn) -> None:
    """Running and waiting jobs alike."""
    running = chat_task.delay("energy", session_id, "hello", model=ENDLESS)
    chat_task.delay("energy", session_id, "hello")
    first_token(running.id)
    assert CliRunner().invoke(main, ["erase", "session", "energy", session_id]).exit_code == 0


@pytest.mark.parametrize(
    "end", [answered, cancelled_while_running, given_up, merged_and_replaced, erased]
)
def test_every_end_makes_room_again(
    end: Callable[[str, OllamaStandIn], None], session_id: str, ollama: OllamaStandIn
) -> None:
    """Whoever ends the job, and however: it counts no longer."""
    wait_until(lambda: pending_jobs() == 0, timeout_s=WAIT_S, what="nothing is left of others")
    end(session_id, ollama)
    wait_until(lambda: pending_jobs() == 0, timeout_s=WAIT_S, what="no job counts as pending")

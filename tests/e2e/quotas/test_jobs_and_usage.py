"""Finding jobs and what was used, with real processes: each end counts once, whoever dies."""

import asyncio
import json
import uuid
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from memory.quotas.usage import Spent
from sandbox.ollama import OllamaStandIn
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from sandbox.valkey import ValkeyServer
from tasks import FoundJob, aio, chat_task, find_jobs, usage
from tasks.process.crash_points import CrashPoint
from tests.conftest import FAST
from tests.support.faults.rig import armed
from tests.support.machine import scaled
from tests.support.waiting import wait_until
from tests.support.warm.python import warm
from worker.cli import main

WAIT_S = scaled(30)


@pytest.fixture(scope="module")
def stack(
    valkey: ValkeyServer,
    ollama: OllamaStandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GriotStack]:
    """Processes that find each other."""
    logs = tmp_path_factory.mktemp("logs")
    with GriotStack(
        logs, redis_url=valkey.url(), ollama_url=ollama.url, settings=FAST, starter=warm
    ) as made:
        yield made
        made.stop(grace_s=0)


@pytest.fixture(scope="module")
def worker(stack: GriotStack) -> ServerProcess:
    """One worker for the tests that kill none."""
    return stack.worker()


@pytest.fixture
def user() -> str:
    """A user of this test alone."""
    return f"user/{uuid.uuid4()}"


def states(**search: str) -> dict[str, str]:
    """Each job that is found, and its state."""
    return {job.job_id: job.state for job in find_jobs(**search).jobs}  # type: ignore[arg-type]


def wait_for(job_id: str, state: str) -> None:
    """Wait until a job is found in a state."""
    wait_until(
        lambda: states(state=state).get(job_id) == state,
        timeout_s=WAIT_S,
        what=f"{job_id} is {state}",
    )


def used_by(user: str) -> Spent:
    """What a user has used today."""
    return next((row.spent for row in usage("user") if row.name == user), Spent())


def send(user: str, session: str, model: str = "ok", tags: tuple[str, ...] = ()) -> str:
    """Send a job of a user."""
    noted = {"user_id": user}
    return chat_task.delay("energy", session, "hello", model=model, metadata=noted, tags=tags).id


def told(*command: str) -> str:
    """What a command of griot prints."""
    ended = CliRunner().invoke(main, command)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


@pytest.mark.usefixtures("worker")
def test_jobs_are_found_by_each_thing_and_in_each_state(user: str, session_id: str) -> None:
    """While they run, while they wait, and once they have ended; by Python and by the command."""
    run = f"run-{uuid.uuid4()}"
    done = send(user, f"{session_id}-a", tags=(run, "night"))
    wait_for(done, "done")
    running = send(user, session_id, "hang", tags=(run,))
    wait_for(running, "running")
    waiting = send(user, session_id, tags=(run,))
    assert states(tag=run) == {waiting: "waiting", running: "running", done: "done"}
    assert states(tag=run, state="waiting") == {waiting: "waiting"}
    assert states(user=user, session_id=session_id).keys() == {waiting, running}
    assert states(agent_id="energy", tag="night", user=user) == {done: "done"}
    chat_task.cancel(waiting)
    chat_task.cancel(running)
    wait_for(waiting, "cancelled")
    wait_for(running, "cancelled")
    found = json.loads(told("jobs", "--tag", run, "--limit", "2", "--json"))
    assert [job["job_id"] for job in found["jobs"]] == [waiting, running]
    rest = json.loads(told("jobs", "--tag", run, "--cursor", found["next"], "--json"))
    assert [(job["job_id"], job["state"]) for job in rest["jobs"]] == [(done, "done")]
    assert rest["next"] is None
    assert rest["jobs"][0]["tags"] == [run, "night"]
    assert done in told("jobs", "--user", user, "--state", "done", "--since", "1h")
    by_loop = asyncio.run(aio.find_jobs(tag=run, limit=1))
    assert isinstance(by_loop.jobs[0], FoundJob)


@pytest.mark.usefixtures("worker")
def test_what_was_used_is_what_the_results_say(user: str, session_id: str) -> None:
    """Of turns, and apart from them of an attempt that failed and one that was cancelled."""
    results = [
        chat_task.delay("energy", session_id, "hello", metadata={"user_id": user}).get(
            timeout=WAIT_S
        )
        for _ in range(3)
    ]
    wait_until(lambda: used_by(user).turns == 3, timeout_s=WAIT_S, what="three turns count")
    spent = used_by(user)
    assert spent.tokens_in == sum(one["usage"]["prompt_tokens"] for one in results)
    assert spent.tokens_out == sum(one["usage"]["completion_tokens"] for one in results)
    assert spent.slot_ms == sum(round(one["timings"]["turn_ms"]) for one in results)
    assert spent.unfinished == 0
    broken = send(user, f"{session_id}-b", "cut")
    wait_for(broken, "failed")
    wait_until(lambda: used_by(user).unfinished > 0, timeout_s=WAIT_S, what="attempts count")
    after = used_by(user)
    assert (after.turns, after.tokens_in) == (3, spent.tokens_in)
    assert after.unfinished_tokens_in > 0
    rows = json.loads(told("usage", "--by", "user", "--json"))
    assert [row["turns"] for row in rows if row["user"] == user] == [3]
    assert f"{user},3," in told("usage", "--by", "user", "--csv")
    assert "energy" in told("usage", "--by", "agent", "--each-day")
    assert asyncio.run(aio.usage("model"))


@pytest.mark.usefixtures("worker")
def test_an_erased_session_and_user_are_found_no_more(user: str, session_id: str) -> None:
    """Neither their jobs nor what they used; what the agent used stays."""
    kept, gone = send(user, session_id), send(user, f"{session_id}-b")
    wait_for(kept, "done")
    wait_for(gone, "done")
    wait_until(lambda: used_by(user).turns == 2, timeout_s=WAIT_S, what="both count")
    told("erase", "session", "energy", f"{session_id}-b")
    assert states(user=user) == {kept: "done"}
    told("erase", "user", user)
    assert states(user=user) == {}
    assert used_by(user) == Spent()


@pytest.mark.parametrize(
    "point",
    [
        CrashPoint.BEFORE_COMMIT,
        CrashPoint.AFTER_COMMIT,
        CrashPoint.BEFORE_RESULT,
        CrashPoint.BEFORE_ACK,
    ],
)
def test_a_turn_counts_once_whatever_kills_its_worker(
    stack: GriotStack, user: str, session_id: str, point: CrashPoint
) -> None:
    """The next worker makes the turn anew, or delivers the end that the first has left."""
    stack.stop(grace_s=0)
    dying = stack.worker(name=f"dying-{point}", **armed(point))
    job = send(user, session_id)
    wait_until(lambda: not dying.is_running, timeout_s=WAIT_S, what="the first worker is killed")
    stack.worker(name=f"heir-{point}")
    wait_for(job, "done")
    wait_for(send(user, session_id), "done")
    wait_until(lambda: used_by(user).turns >= 2, timeout_s=WAIT_S, what="both turns count")
    assert used_by(user).turns == 2
    assert set(states(user=user).values()) == {"done"}

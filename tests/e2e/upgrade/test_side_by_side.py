"""Workers of the release before and of this one, on the same sessions: none notices."""

import asyncio
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from memory import Event, EventType, get_redis_memory
from sandbox.process import ServerProcess
from sandbox.stack import GriotStack
from tasks import JobResult, aio, chat_task, follow_job
from tests.e2e.upgrade.release_before import WORKER, ReleaseBefore
from tests.support.machine import scaled
from tests.support.waiting import wait_until

SESSIONS, TURNS, STEPS = 50, 4, 5
"""200 jobs; a part of them is sent after each worker that is replaced."""
WAIT_S = scaled(60)
MODEL = "slow-tokens:4x20ms"
STOP_S = 20

Start = Callable[[str], ServerProcess]


@pytest.fixture(scope="module")
def before(stack: GriotStack, tmp_path_factory: pytest.TempPathFactory) -> ReleaseBefore:
    """The release before."""
    return ReleaseBefore.unpacked(tmp_path_factory.mktemp("before"), stack)


@pytest.fixture
def workers() -> Iterator[list[ServerProcess]]:
    """The workers that run; what is left of them is stopped."""
    running: list[ServerProcess] = []
    yield running
    for worker in running:
        worker.stop(STOP_S)


def current(stack: GriotStack) -> Start:
    """Starts workers of this release."""
    return lambda name: stack.worker("-c", WORKER[-1], name=name)


def job(session: str, number: int, **options: object) -> dict[str, object]:
    """A job as both releases send it."""
    kwargs = {"agent_id": "energy", "session_id": session, "message": f"question {number}"}
    return {"task_id": str(uuid.uuid4()), "kwargs": {**kwargs, "model": MODEL, **options}}


def send(jobs: list[dict[str, object]]) -> None:
    """Send jobs with this release."""
    for one in jobs:
        chat_task.apply_async(kwargs=one["kwargs"], task_id=one["task_id"])  # type: ignore[call-overload]  # a job


def result_of(one: dict[str, object]) -> JobResult:
    """The result of a job."""
    return chat_task.AsyncResult(str(one["task_id"]))


def questions(session: str) -> list[str]:
    """What was asked in a session, as its history has it."""
    history = get_redis_memory().get_conversation_history("energy", session)
    return [str(one["content"]) for one in history if one["role"] == "user"]


async def followed(session: str, ends: list[str], *, many: int) -> None:
    """Note the ends of a session's jobs as they come, until there are so many."""
    async for event in aio.follow("energy", session):
        if event.type is EventType.DONE:
            ends.append(event.job_id)
        if len(ends) == many:
            return


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_upgrade", [True, False], ids=["upgrade", "going back"])
async def test_workers_are_replaced_one_by_one_and_each_job_is_answered_once_and_in_order(
    stack: GriotStack, before: ReleaseBefore, workers: list[ServerProcess], is_upgrade: bool
) -> None:
    """Both releases send; some jobs use what only this one knows, while one of its workers runs."""
    begin, end = (before.worker, current(stack))[:: 1 if is_upgrade else -1]
    sessions = [f"side-{uuid.uuid4()}" for _ in range(SESSIONS)]
    jobs = [job(session, turn) for turn in range(TURNS) for session in sessions]
    by_session = {session: jobs[at::SESSIONS] for at, session in enumerate(sessions)}
    ends: list[str] = []
    follower = asyncio.create_task(followed(sessions[0], ends, many=TURNS))
    run = uuid.uuid4().hex[:8]
    size = len(jobs) // STEPS
    parts = [jobs[at : at + size] for at in range(0, len(jobs), size)]
    # While workers of this release run: at the end of the one way, at the beginning of the other.
    new = parts[-1 if is_upgrade else 0][::4]
    for one in new:
        one["kwargs"]["timeout_s"] = 600.0  # type: ignore[index]  # a job

    def roll() -> None:
        workers.extend(begin(f"{run}-a{number}") for number in range(2))
        _send_by_either(before, parts[0], new)
        for number in range(2):
            workers.pop(0).stop(STOP_S)
            workers.append(end(f"{run}-b{number}"))
            _send_by_either(before, parts[1 + number], new)
        for part in parts[3:]:
            _send_by_either(before, part, new)
        for one in jobs:
            result_of(one).get(timeout=WAIT_S)

    try:
        await asyncio.to_thread(roll)
        async with asyncio.timeout(WAIT_S):
            await follower
    finally:
        follower.cancel()
        with suppress(asyncio.CancelledError):
            await follower
        await aio.aclose()
    for session, asked in by_session.items():
        assert questions(session) == [str(one["kwargs"]["message"]) for one in asked]  # type: ignore[index]  # a job
    assert ends == [one["task_id"] for one in by_session[sessions[0]]]
    for one in random.sample(jobs, 20):
        last: Event = list(follow_job(str(one["task_id"])))[-1]
        assert (last.type, last.attempt) == (EventType.DONE, 1)


def _send_by_either(
    before: ReleaseBefore, part: list[dict[str, object]], new: list[dict[str, object]]
) -> None:
    """Send a part of the jobs, each half with one release; what is new only with this one.

    In the order of the turns: of each session there is one job in a part at most.
    """
    half = len(part) // 2
    theirs = [one for one in part[:half] if one not in new]
    before.send(theirs)
    send([one for one in part if one not in theirs])


@pytest.mark.slow
def test_a_job_that_an_older_worker_cannot_read_waits_for_a_newer_one(
    stack: GriotStack, before: ReleaseBefore, workers: list[ServerProcess]
) -> None:
    """As the head of its session, without an attempt; other sessions go on. The log says why."""
    session, other = (f"side-{uuid.uuid4()}" for _ in range(2))
    older = before.worker(f"older-{uuid.uuid4().hex[:8]}")
    workers.append(older)
    new, behind, free = job(session, 0, timeout_s=600), job(session, 1), job(other, 0)
    send([new, behind, free])
    assert "question 0" in result_of(free).get(timeout=WAIT_S)["response"]
    wait_until(
        lambda: "is left to newer workers" in older.log_text(), timeout_s=20, what="its line"
    )
    for said in (str(new["task_id"]), "version 2", "up to version 1", "update this process"):
        assert said in older.log_text()
    assert (result_of(new).state, result_of(behind).state) == ("PENDING", "PENDING")
    workers.append(current(stack)(f"newer-{uuid.uuid4().hex[:8]}"))
    answers = [result_of(one).get(timeout=WAIT_S) for one in (new, behind)]
    assert [one["attempt"] for one in answers] == [1, 1]
    assert questions(session) == ["question 0", "question 1"]
    assert older.log_text().count("is left to newer workers") == 1

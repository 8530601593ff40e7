"""Redis is emptied while callers wait: nobody waits for what is gone."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from tasks import chat_task, follow_job
from tasks.aio import follow_job as afollow_job
from tasks.errors import JobFailed
from tests.support.faults.rig import Rig
from tests.support.faults.sender import Sender
from tests.support.machine import scaled
from tests.support.waiting import wait_until

WAIT_S = scaled(40)
Waiting = Callable[[], object]


def followers(job_ids: Sequence[str], seen: set[tuple[str, str]]) -> list[Waiting]:
    """One of each kind for each of some jobs, which note the first event that they see."""

    def follow(job_id: str) -> None:
        for _ in follow_job(job_id):
            seen.add((job_id, "in a thread"))

    async def on_a_loop(job_id: str) -> None:
        async for _ in afollow_job(job_id):
            seen.add((job_id, "on a loop"))

    return [
        *(partial(follow, job_id) for job_id in job_ids),
        *(partial(lambda one: asyncio.run(on_a_loop(one)), job_id) for job_id in job_ids),
    ]


@pytest.mark.parametrize("is_running", [False, True], ids=["waiting jobs", "running jobs"])
def test_every_caller_of_a_job_that_is_gone_gets_an_error(
    rig: Rig, sender: Sender, is_running: bool
) -> None:
    """`get`, with and without a time-out, and followers of both kinds; it says what to do."""
    worker = rig.worker(name="emptied") if is_running else None
    jobs = [
        chat_task.delay("energy", session, "hello", model="delay:60000ms")
        for session in sender.sessions(2)
    ]
    if is_running:
        wait_until(lambda: rig.ollama.stats.requests >= len(jobs), what="the jobs run")
    seen: set[tuple[str, str]] = set()
    waiting: list[Waiting] = [
        *followers([job.id for job in jobs], seen),
        *(job.get for job in jobs),
        lambda: jobs[0].get(timeout=WAIT_S),
    ]
    with ThreadPoolExecutor(len(waiting)) as pool:
        asked: list[Future[object]] = [pool.submit(one) for one in waiting]
        wait_until(lambda: len(seen) == 2 * len(jobs), what="they follow")
        rig.observer.flushall()
        for one in asked:
            with pytest.raises(JobFailed, match=r"mailbox is gone .* send it again"):
                one.result(timeout=WAIT_S)
    assert isinstance(jobs[0].get(timeout=WAIT_S, propagate=False), JobFailed)
    if worker is not None:
        worker.kill()
    assert chat_task.delay("energy", "afterwards", "hello").id

"""A turn is stopped when it has run for as long as it may."""

import asyncio
from dataclasses import replace

import pytest

from agents import Profile
from tasks.attempt.time_limit import TimeLimit, turn_timeout_s
from tasks.job.job import ChatJob
from tasks.process.stopping import Stoppable, Stopped, StopReason
from tests.support.virtual_time.loop import passed, run

PROFILE = Profile("energy", None, None, None, None, max_history=10)


def job(timeout_s: float | None) -> ChatJob:
    """A job with this bound."""
    return ChatJob(agent_id="energy", session_id="s", message="hello", timeout_s=timeout_s)


async def test_what_runs_for_longer_is_cancelled_with_its_reason() -> None:
    """And has seen its end: tools and calls are closed by it."""
    stoppable, seen = Stoppable(), list[str]()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("closed")

    with pytest.raises(Stopped) as stopped, TimeLimit().over(stoppable, 0.01):
        await stoppable.run(endless())
    assert (stopped.value.reason, seen) == (StopReason.TIMED_OUT, ["closed"])


@pytest.mark.parametrize("timeout_s", [None, 60.0])
async def test_what_ends_in_time_is_let_be(timeout_s: float | None) -> None:
    """With its result."""
    stoppable = Stoppable()
    with TimeLimit().over(stoppable, timeout_s):
        assert await stoppable.run(asyncio.sleep(0, "result")) == "result"


def test_turns_with_fallback_models_have_one_time_together() -> None:
    """What the first has used the second has not."""

    async def two_turns() -> float:
        limit, loop = TimeLimit(), asyncio.get_running_loop()
        with limit.over(Stoppable(), 60.0):
            await passed(50.0)
        await passed(1000.0)
        second, began_s = Stoppable(), loop.time()
        with pytest.raises(Stopped, match="timeout_s"), limit.over(second, 60.0):
            await second.run(passed(100.0))
        return loop.time() - began_s

    assert run(two_turns(), end_s=2000.0) == pytest.approx(10.0)


async def test_a_cancel_that_came_first_counts() -> None:
    """What is stopped once is not stopped for another reason."""
    stoppable = Stoppable()
    stoppable.stop(StopReason.CANCELLED)
    with pytest.raises(Stopped, match="cancelled"), TimeLimit().over(stoppable, 0.0):
        await stoppable.run(asyncio.sleep(0))


def test_a_jobs_own_bound_comes_before_its_agents() -> None:
    """None of both: a turn may run as long as its model's time limits allow."""
    bounded: Profile = replace(PROFILE, timeout_s=5.0)
    assert turn_timeout_s(job(None), PROFILE) is None
    assert turn_timeout_s(job(None), bounded) == 5.0
    assert turn_timeout_s(job(7.0), bounded) == 7.0

"""A turn is stopped when it has run for as long as it may."""

import asyncio
from dataclasses import replace

import pytest

from agents import Profile
from tasks.attempt.time_limit import limited, timeout_of
from tasks.job.job import ChatJob
from tasks.process.stopping import Stoppable, Stopped, StopReason

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

    with pytest.raises(Stopped) as stopped, limited(stoppable, 0.01):
        await stoppable.run(endless())
    assert (stopped.value.reason, seen) == (StopReason.TIMED_OUT, ["closed"])


@pytest.mark.parametrize("timeout_s", [None, 60.0])
async def test_what_ends_in_time_is_let_be(timeout_s: float | None) -> None:
    """With its result."""
    stoppable = Stoppable()
    with limited(stoppable, timeout_s):
        assert await stoppable.run(asyncio.sleep(0, "result")) == "result"


async def test_a_cancel_that_came_first_counts() -> None:
    """What is stopped once is not stopped for another reason."""
    stoppable = Stoppable()
    stoppable.stop(StopReason.CANCELLED)
    with pytest.raises(Stopped, match="cancelled"), limited(stoppable, 0.0):
        await stoppable.run(asyncio.sleep(0))


def test_a_jobs_own_bound_comes_before_its_agents() -> None:
    """None of both: a turn may run as long as its model's time limits allow."""
    bounded: Profile = replace(PROFILE, timeout_s=5.0)
    assert timeout_of(job(None), PROFILE) is None
    assert timeout_of(job(None), bounded) == 5.0
    assert timeout_of(job(7.0), bounded) == 7.0

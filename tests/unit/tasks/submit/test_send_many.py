"""Many jobs at once: each has an answer of its own, and a session's jobs keep their order."""

import asyncio
from typing import Any

import pytest

from memory import Backpressure, MemoryFull, MemoryRefused, MemoryUnavailable
from tasks.errors import JobConflict, LimitReached, NotAccepted, QuotaExceeded, SessionBusy
from tasks.job.job import ChatJob
from tasks.submit.many import SendAnswer, SendOutcome, send_in_order


def described(session_id: str, message: str, **more: object) -> dict[str, object]:
    """A job as `send_many` takes it; its message is its id, too."""
    return {
        "agent_id": "energy",
        "session_id": session_id,
        "message": message,
        "task_id": message,
        **more,
    }


class Door:
    """Takes jobs in, one by one, but for those that an error is laid out for."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.taken: list[str] = []
        self.at_once = self.most_at_once = 0

    async def send(self, job: ChatJob, job_id: str) -> None:
        """Take a job in."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if job_id in self.errors:
            raise self.errors[job_id]
        self.taken.append(job_id)


def outcomes(answers: list[SendAnswer]) -> list[str]:
    """The outcomes by job."""
    return [f"{answer.job_id} {answer.outcome}" for answer in answers]


async def test_sessions_go_side_by_side_and_their_jobs_in_order() -> None:
    """Whatever the list mixes."""
    door = Door()
    jobs = [described(f"s{number % 3}", f"m{number}") for number in range(12)]
    answers = await send_in_order(jobs, door.send)
    assert outcomes(answers) == [f"m{number} accepted" for number in range(12)]
    for session in range(3):
        ids = [f"m{number}" for number in range(12) if number % 3 == session]
        assert [job_id for job_id in door.taken if job_id in ids] == ids
    assert door.most_at_once == 3


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Backpressure("energy", "s", 3), SendOutcome.FULL),
        (LimitReached("full"), SendOutcome.FULL),
        (QuotaExceeded.after("used up", 3), SendOutcome.FULL),
        (MemoryFull("full"), SendOutcome.FULL),
        (NotAccepted("lost"), SendOutcome.UNKNOWN),
        (MemoryUnavailable("lost"), SendOutcome.UNKNOWN),
        (JobConflict("another's"), SendOutcome.CONFLICT),
        (SessionBusy("busy"), SendOutcome.REFUSED),
        (MemoryRefused("no right"), SendOutcome.REFUSED),
    ],
)
async def test_each_job_has_its_own_answer(error: Exception, outcome: SendOutcome) -> None:
    """What went wrong with one, by what the caller can do about it; the next session goes on."""
    door = Door(bad=error)
    answers = await send_in_order([described("s", "bad"), described("t", "good")], door.send)
    assert outcomes(answers) == [f"bad {outcome}", "good accepted"]
    assert [answer.error for answer in answers] == [error, None]


async def test_behind_a_job_that_may_come_later_its_session_is_held_back() -> None:
    """SendAnswer again with the same ids the session has its order; a refused one stops nobody."""
    door = Door(b=NotAccepted("lost"), y=JobConflict("another's"))
    jobs = [described("s", one) for one in "abc"] + [described("t", one) for one in "xyz"]
    answers = await send_in_order(jobs, door.send)
    assert outcomes(answers) == [
        *("a accepted", "b unknown", "c held_back"),
        *("x accepted", "y conflict", "z accepted"),
    ]
    door.errors.clear()
    again = [{**job, "task_id": answer.job_id} for job, answer in zip(jobs, answers, strict=True)]
    assert {answer.outcome for answer in await send_in_order(again, door.send)} == {"accepted"}
    assert [one for one in door.taken if one in "abc"] == ["a", "a", "b", "c"]


async def test_what_is_no_job_is_refused_and_sent_nowhere() -> None:
    """With its id where it has one; an id is made before a job is sent."""
    door = Door()
    nothing = {"agent_id": "energy", "session_id": "s"}
    jobs = [described("", "x"), nothing, described("s", "m", task_id=7), described("s", "n")]
    jobs.append(described("s", "o", task_id=None))
    answers = await send_in_order(jobs, door.send)
    assert [answer.outcome for answer in answers] == [*["refused"] * 3, *["accepted"] * 2]
    assert [answer.job_id for answer in answers[:4]] == ["x", "", "", "n"]
    assert door.taken == ["n", answers[4].job_id]
    assert await send_in_order([], door.send) == []
    odd: list[Any] = [None, 5, "abc", ["a"], described("s", "p")]
    answers = await send_in_order(odd, door.send)
    assert [answer.outcome for answer in answers] == [*["refused"] * 4, "accepted"]

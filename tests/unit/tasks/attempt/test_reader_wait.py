"""A turn that meets a record without its key waits; it is not answered without it."""

from typing import cast

import pytest

from agents import Profile
from memory import (
    Acquired,
    AcquireOutcome,
    AsyncConnection,
    CannotDecrypt,
    Command,
    Keyspace,
    NewerFormat,
)
from tasks.attempt.attempt import Attempt
from tasks.attempt.lease import LeaseHolder
from tasks.attempt.reader_wait import (
    FIRST_WAIT_S,
    KEY_WAIT_S,
    LONGEST_WAIT_S,
    MOST_KNOWN,
    MOST_TOLD,
    Refusals,
    verdict_of,
)
from tasks.attempt.verdict import NotNow, Verdict
from tasks.job.job import ChatJob
from tasks.turn.context import summary_of
from tests.support.encryption import keyspace_of

KEYS = Keyspace().session("energy", "s")
JOB = ChatJob(agent_id="energy", session_id="s", message="hello")


class Unreadable:
    """An attempt at a job whose history does not decrypt."""

    async def run(self) -> Verdict:
        """Meet it."""
        raise CannotDecrypt("history", "k1", is_known=False)


class Holder:
    """The lease of the attempt; it notes how it is given back."""

    def __init__(self) -> None:
        self.given_back: list[dict[str, object]] = []

    async def fail(self, **how: object) -> None:
        """Give it back."""
        self.given_back.append(how)


async def test_an_attempt_without_the_key_does_not_count(caplog: pytest.LogCaptureFixture) -> None:
    """The lease is given back for another worker, and the log says what to do."""
    holder = Holder()
    verdict = await verdict_of(cast(Attempt, Unreadable()), cast(LeaseHolder, holder), "job-1")
    assert holder.given_back == [{"delay_s": KEY_WAIT_S, "refund": True}]
    assert isinstance(verdict, NotNow)
    assert not verdict.is_over
    assert "job job-1 waits" in caplog.text
    assert "'k1', which is not in GRIOT_ENCRYPTION_KEYS" in caplog.text


class Newer:
    """An attempt at a job that a newer Griot has sent."""

    async def run(self) -> Verdict:
        """Meet it."""
        raise NewerFormat("a job's envelope", 7, 6)


async def test_an_attempt_at_a_newer_job_does_not_count(caplog: pytest.LogCaptureFixture) -> None:
    """Its message goes back, later each time, and the log names the versions once."""
    waits_s = []
    for _ in range(8):
        holder = Holder()
        verdict = await verdict_of(cast(Attempt, Newer()), cast(LeaseHolder, holder), "job-2")
        assert isinstance(verdict, NotNow)
        waits_s.append(verdict.again_in_s)
        assert holder.given_back == [{"delay_s": verdict.again_in_s, "refund": True}]
    for wait_s, most_s in zip(waits_s, (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3, 3), strict=True):
        assert wait_s is not None
        assert most_s / 2 <= wait_s <= most_s
    assert len(caplog.records) == 1
    for said in ("job-2", "version 7", "up to version 6", "update this process"):
        assert said in caplog.text


def test_what_is_remembered_of_newer_jobs_is_bounded() -> None:
    """The one that was met longest ago begins anew."""
    refusals = Refusals()
    for number in range(MOST_KNOWN + 1):
        assert refusals.wait_s(str(number)) <= FIRST_WAIT_S
    assert refusals.wait_s("1") >= FIRST_WAIT_S
    assert refusals.wait_s("0") <= FIRST_WAIT_S
    assert FIRST_WAIT_S < max(refusals.wait_s("0") for _ in range(20)) <= LONGEST_WAIT_S


class Answering:
    """A connection that gives each command one reply."""

    def __init__(self, reply: object) -> None:
        self._reply = reply

    async def run(self, command: Command[object]) -> object:
        """The result of one command."""
        return command.parse(self._reply)


async def test_a_turn_is_not_answered_without_its_summary_because_of_a_key() -> None:
    """As it is while Redis is away: nobody would find out."""
    cipher = keyspace_of("ecowas", "k1").session("energy", "s").cipher
    stored = [cipher.encrypted(b"in short", "summary"), None]
    profile = Profile("energy", None, None, None, None, max_history=10, summary=True)
    acquired = Acquired(AcquireOutcome.RUN, stored_messages=5)
    memory = cast(AsyncConnection, Answering(stored))
    with pytest.raises(CannotDecrypt):
        await summary_of(memory, KEYS, profile, JOB, acquired)


def test_versions_that_somebody_makes_up_are_not_remembered_without_end() -> None:
    """Nor logged: another program can write any number."""
    refusals = Refusals()
    told = [
        refusals.is_news(NewerFormat("a job's envelope", 3 + n, 2)) for n in range(3 * MOST_TOLD)
    ]
    assert told.count(True) == MOST_TOLD
    assert not refusals.is_news(NewerFormat("a job's envelope", 3, 2))

"""Which jobs expire: those that had not begun."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from agents import Profile
from memory import Acquired, AcquireOutcome, StopPolicy
from memory.pauses.pauses import Pause, PauseKind, PauseTarget
from tasks.attempt.giving_up import expired, is_refunded
from tasks.attempt.outage_wait import OutageMet, OutageWait
from tasks.job.job import ChatJob
from tasks.process.redis_clock import redis_clock
from tasks.process.stopping import StopReason
from tasks.settings import QueueSettings

NOW_S = 2_000_000_000.0


@pytest.fixture(autouse=True)
def clock() -> None:
    """Redis' clock, which is far from this machine's."""
    redis_clock().set_ms(round(NOW_S * 1000))


def job(expires: float | None) -> ChatJob:
    """A job with this deadline."""
    return ChatJob(agent_id="energy", session_id="s", message="hello", expires=expires)


def acquired(attempt: int, stop: StopPolicy | None = None) -> Acquired:
    """The answer to the try of a job."""
    return Acquired(AcquireOutcome.RUN, attempt=attempt, stop=stop)


def test_a_job_that_has_not_begun_expires_by_redis_clock() -> None:
    """At its time, not before."""
    assert expired("j", job(NOW_S - 1), acquired(1)) is not None
    assert expired("j", job(NOW_S + 60), acquired(1)) is None
    assert expired("j", job(None), acquired(1)) is None


def test_a_job_that_began_in_time_is_not_expired_by_a_retry() -> None:
    """Its second attempt runs whenever it comes."""
    assert expired("j", job(NOW_S - 1), acquired(2)) is None


def test_a_job_that_was_cancelled_is_cancelled() -> None:
    """What was asked first counts."""
    assert expired("j", job(NOW_S - 1), acquired(1, StopPolicy.KEEP)) is None


def test_the_first_attempt_of_a_job_that_may_expire_counts() -> None:
    """Where its worker stops: the next worker must find that it has begun, if it may try at all."""
    drained, lost = StopReason.DRAINED, StopReason.SLOT_LOST
    assert not is_refunded(drained, job(NOW_S), acquired(1), 3)
    assert is_refunded(drained, job(NOW_S), acquired(2), 3)
    assert is_refunded(drained, job(NOW_S), acquired(1), 1)
    assert is_refunded(drained, job(None), acquired(1), 3)
    assert not is_refunded(lost, job(None), acquired(1), 3)


class Parking:
    """Of a lease, and of the outages, as much as a job that waits for servers needs."""

    def __init__(self) -> None:
        self.mailbox = SimpleNamespace(keys=None)
        self.for_ms: list[int] = []
        self.are_paused: list[bool] = []

    async def park(self, *_: object, for_ms: int, is_paused: bool) -> None:
        """Note for how long nobody looks."""
        self.for_ms.append(for_ms)
        self.are_paused.append(is_paused)

    def parking(self, *_: object, **__: object) -> tuple[tuple[()], tuple[()]]:
        """No commands."""
        return (), ()

    def note_parked(self, *_: object) -> None:
        """Nothing."""

    def emit(self, *_: object, **__: object) -> None:
        """Tell nobody."""


@pytest.mark.parametrize(
    ("expires", "attempt", "for_ms"),
    [(None, 1, 600_000), (NOW_S + 5, 1, 5000), (NOW_S + 5, 2, 600_000), (NOW_S - 5, 1, 1)],
)
async def test_a_job_that_waits_for_servers_is_looked_at_when_it_expires(
    expires: float | None, attempt: int, for_ms: int
) -> None:
    """Not only when they are back, unless it has begun."""
    parking: Any = Parking()
    profile = Profile("energy", None, None, None, None, max_history=10)
    wait = OutageWait(parking, parking, parking, QueueSettings(), profile)
    waiting = replace(acquired(attempt), away_ms=1000)
    await wait.park(OutageMet([]), waiting, expires)
    assert parking.for_ms == [pytest.approx(for_ms, abs=500)]


@pytest.mark.parametrize(("expires", "for_ms"), [(None, 600_000), (NOW_S + 5, 5000)])
async def test_a_paused_job_waits_whatever_bounds_the_wait_for_servers(
    expires: float | None, for_ms: int
) -> None:
    """Neither CHAT_MAX_WAIT_SECONDS nor a fallback ends it; `expires` does."""
    parking: Any = Parking()
    profile = Profile("energy", None, None, None, None, max_history=10, fallback=("other",))
    queue = QueueSettings(max_wait_s=1)
    wait = OutageWait(parking, parking, parking, queue, profile)
    target = PauseTarget(PauseKind.ALL)
    met = OutageMet([], pause=Pause(target, 1, None, "why"))
    waiting = replace(acquired(1), away_ms=5000)
    assert not wait.is_too_long(met, waiting)
    assert wait.fallbacks(job(None), met, waiting) == ()
    await wait.park(met, waiting, expires)
    assert (parking.for_ms, parking.are_paused) == ([pytest.approx(for_ms, abs=500)], [True])

"""Work under a lease: how it is kept, lost, stopped and given back; the connection is a stub."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from memory import (
    AsyncConnection,
    Command,
    Keyspace,
    Mailbox,
    MemoryUnavailable,
    Slots,
    StopPolicy,
)
from tasks.attempt.lease import LeaseHolder
from tasks.attempt.renewal import RENEWALS_PER_LEASE, Lease, Renewal
from tasks.attempt.slot_holder import SlotHolder
from tasks.job.envelope import JobRef
from tasks.process.configuration import load_settings
from tasks.process.queue_wait import QueueWait
from tasks.process.stopping import RunningLeases, Stoppable, Stopped, StopReason
from tests.support.machine import scaled
from tests.support.metrics.shown import moves
from tests.support.waiting import eventually

LEASE_MS = 15
MAILBOX = Mailbox.of(Keyspace(), "energy", "s")


class Redis:
    """Answers each look at a lease with the next of `answers`, the last one for ever.

    An answer is whether the lease is ours, and how the job is to be stopped, if at all.
    """

    def __init__(self, *answers: tuple[bool, StopPolicy | None] | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[Command[object]] = []
        self.holds: list[Command[object]] = []
        self.has_slot = True

    @property
    def looks(self) -> int:
        """How often it was asked."""
        return len(self.calls)

    async def run_all(
        self, renewal: Command[object], asked: Command[object], *hold: Command[object]
    ) -> tuple[bool | StopPolicy | None, ...]:
        """One look; a place is there as long as the lease is asked for."""
        self.calls.append(renewal)
        self.holds += hold
        answer = self.answers[min(self.looks, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return (*answer, self.has_slot) if hold else answer

    async def run(self, asked: Command[object]) -> StopPolicy | None:
        """Whether somebody asked for the job's end."""
        _, policy = await self.run_all(asked, asked)
        return cast("StopPolicy | None", policy)

    def as_connection(self) -> AsyncConnection:
        """In the eyes of the type checker."""
        return cast("AsyncConnection", self)


def lease_of() -> Lease:
    """A short lease of a job."""
    return Lease(MAILBOX, "job", "token", LEASE_MS)


async def reason_of(stoppable: Stoppable) -> StopReason:
    """Why work that would last for ever is stopped."""
    with pytest.raises(Stopped) as caught:
        await asyncio.wait_for(stoppable.run(until(asyncio.Event())), scaled(10))
    return caught.value.reason


async def until(event: asyncio.Event) -> str:
    """Work that lasts."""
    await event.wait()
    return "done"


async def returning(value: str) -> str:
    """Work that is soon over."""
    return value


def holding(leases: RunningLeases, job_id: str, stoppable: Stoppable) -> Renewal:
    """The lease of a job, as its attempt holds it."""
    lease = replace(lease_of(), job_id=job_id)
    return Renewal(Redis((True, None)).as_connection(), lease, stoppable, leases)


async def failing() -> str:
    """Work that goes wrong."""
    raise ValueError("its own")


async def test_work_that_nobody_stops_gives_its_result() -> None:
    """Or its own error."""
    assert await Stoppable().run(returning("done")) == "done"
    with pytest.raises(ValueError, match="its own"):
        await Stoppable().run(failing())


@pytest.mark.parametrize("reason", list(StopReason))
async def test_stopped_work_is_cancelled_and_the_first_reason_is_told(reason: StopReason) -> None:
    """The work has ended when Stopped is raised: it cannot write any more."""
    stoppable, ended = Stoppable(), asyncio.Event()

    async def work() -> None:
        try:
            stoppable.stop(reason)
            stoppable.stop(StopReason.DRAINED)
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Stopped) as caught:
        await stoppable.run(work())
    assert caught.value.reason is reason
    assert ended.is_set()


async def test_a_result_that_comes_with_the_stop_counts() -> None:
    """It has been paid for; the commit decides whether the turn is still ours."""
    stoppable = Stoppable()

    async def work() -> str:
        stoppable.stop(StopReason.LEASE_LOST)
        return "done"

    assert await stoppable.run(work()) == "done"


async def test_cancelling_the_caller_cancels_the_work() -> None:
    """And waits for its end."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    caller = asyncio.create_task(Stoppable().run(work()))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_work_that_cancels_itself_is_cancelled_not_stopped() -> None:
    """Nobody asked for a stop, so none is reported."""

    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Stoppable().run(work())


async def test_a_lease_is_renewed_several_times_per_length() -> None:
    """With its token, and no more once the work is over."""
    redis = Redis((True, None))
    async with Renewal(redis.as_connection(), lease_of(), Stoppable(), RunningLeases()):
        await eventually(lambda: redis.looks > RENEWALS_PER_LEASE, what="renewals")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert all(call.keys[0] == MAILBOX.keys.lease for call in redis.calls)
    assert all("token" in call.args for call in redis.calls)


async def test_a_lost_lease_stops_the_work_and_is_renewed_no_more() -> None:
    """The new holder is not disturbed."""
    redis, stoppable = Redis((True, None), (False, None)), Stoppable()
    with moves("griot_leases_lost_total"):
        async with Renewal(redis.as_connection(), lease_of(), stoppable, RunningLeases()):
            assert await reason_of(stoppable) is StopReason.LEASE_LOST
    assert redis.looks == 2


@pytest.mark.parametrize(
    ("policy", "reason"),
    [(StopPolicy.KEEP, StopReason.CANCELLED), (StopPolicy.DISCARD, StopReason.DISCARDED)],
)
async def test_a_stop_whose_announcement_was_missed_is_seen_at_a_renewal(
    policy: StopPolicy, reason: StopReason
) -> None:
    """And says what becomes of the turn."""
    redis, stoppable = Redis((True, None), (True, policy)), Stoppable()
    async with Renewal(redis.as_connection(), lease_of(), stoppable, RunningLeases()):
        assert await reason_of(stoppable) is reason
    assert reason.policy is policy


async def test_a_place_at_a_model_is_held_with_the_lease() -> None:
    """In the same look, under the same token; losing it stops the call."""
    slots = Slots(Keyspace(), "llama3.2:1b", ("http://ollama:11434",), 1)
    redis, stoppable = Redis((True, None)), Stoppable()
    lease = replace(lease_of(), slots=slots)
    async with Renewal(redis.as_connection(), lease, stoppable, RunningLeases()):
        await eventually(lambda: redis.looks > RENEWALS_PER_LEASE, what="renewals")
        redis.has_slot = False
        assert await reason_of(stoppable) is StopReason.SLOT_LOST
    assert StopReason.SLOT_LOST.policy is None, "the job goes on elsewhere"
    assert all(call.keys == slots.keys.slots for call in redis.holds)
    assert all("token" in call.args for call in redis.holds)


async def test_work_that_was_stopped_before_never_begins() -> None:
    """A model that nobody waits for is not asked."""
    stoppable, begun = Stoppable(), asyncio.Event()

    async def work() -> None:
        begun.set()

    stoppable.stop(StopReason.CANCELLED)
    with pytest.raises(Stopped):
        await stoppable.run(work())
    assert not begun.is_set()


async def test_an_outage_of_redis_does_not_end_the_work() -> None:
    """The next renewal may succeed; the commit decides."""
    away = MemoryUnavailable("away")
    redis, stoppable = Redis(away, away, (True, None)), Stoppable()
    async with Renewal(redis.as_connection(), lease_of(), stoppable, RunningLeases()):
        await eventually(lambda: redis.looks > 3, what="renewals after the outage")
        assert await stoppable.run(returning("done")) == "done"


async def test_an_error_of_the_work_ends_the_renewals() -> None:
    """And is raised as it is."""
    redis = Redis((True, None))
    with pytest.raises(ValueError, match="its own"):
        async with Renewal(redis.as_connection(), lease_of(), Stoppable(), RunningLeases()):
            await failing()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_draining_lets_the_quick_finish_and_stops_the_rest() -> None:
    """How many were stopped is the answer."""
    leases, quick, slow = RunningLeases(), asyncio.Event(), asyncio.Event()

    begun: list[Stoppable] = []

    async def attempt(job_id: str, event: asyncio.Event) -> str:
        stoppable = Stoppable()
        async with holding(leases, job_id, stoppable):
            begun.append(stoppable)
            return await stoppable.run(until(event))

    first = asyncio.create_task(attempt("quick", quick))
    second = asyncio.create_task(attempt("slow", slow))
    await eventually(lambda: len(begun) == 2, what="both run")
    quick.set()
    assert await first == "done"
    assert await leases.drain(0) == 1
    with pytest.raises(Stopped) as caught:
        await second
    assert caught.value.reason is StopReason.DRAINED
    assert caught.value.reason.policy is None


async def test_an_attempt_that_comes_while_draining_is_given_back_at_once() -> None:
    """A message may still be in the pool's queue when the worker gives back."""
    leases, stoppable = RunningLeases(), Stoppable()
    assert await leases.drain(0) == 0
    async with holding(leases, "job", stoppable):
        assert await reason_of(stoppable) is StopReason.DRAINED


async def test_a_finished_attempt_is_no_longer_held() -> None:
    """Also one that failed."""
    leases, stoppable = RunningLeases(), Stoppable()
    with pytest.raises(ValueError, match="its own"):
        async with holding(leases, "job", stoppable):
            await stoppable.run(failing())
    assert await leases.drain(0) == 0


async def test_an_announced_stop_reaches_the_job_that_runs_here() -> None:
    """After a look at whether somebody did ask for it; no other job is touched."""
    leases, meant, other = RunningLeases(), Stoppable(), Stoppable()
    redis = Redis((True, StopPolicy.DISCARD))
    async with holding(leases, "meant", meant), holding(leases, "other", other):
        await leases.stop_if_cancelled(redis.as_connection(), "meant")
        await leases.stop_if_cancelled(redis.as_connection(), "elsewhere")
        assert await reason_of(meant) is StopReason.DISCARDED
        assert await other.run(returning("done")) == "done"
    assert redis.looks == 1


async def test_an_announcement_that_nobody_asked_for_stops_nothing() -> None:
    """Anyone may publish; the mailbox is the record."""
    leases, stoppable = RunningLeases(), Stoppable()
    async with holding(leases, "job", stoppable):
        await leases.stop_if_cancelled(Redis((True, None)).as_connection(), "job")
        assert await stoppable.run(returning("done")) == "done"


class Kept:
    """A connection that keeps what it is to run; the attempt holds no slot."""

    held, token = None, "token"

    def __init__(self) -> None:
        self.commands: list[Command[object]] = []

    async def run_last(self, *commands: Command[object]) -> None:
        """Note them."""
        self.commands += commands

    def releasing(self) -> None:
        """Nothing to release."""


async def test_a_dead_letter_keeps_no_larger_envelope_than_a_job_may_have() -> None:
    """Whoever wrote it into the mailbox: of a larger one the scripts keep the size."""
    settings = load_settings()
    kept = Kept()
    holder = LeaseHolder(
        JobRef("job", "energy", "s"),
        MAILBOX,
        cast("AsyncConnection", kept),
        cast("SlotHolder", kept),
        leases=RunningLeases(),
        settings=settings,
        queue_wait=cast("QueueWait", SimpleNamespace(grace_ms=1)),
    )
    most = str(settings.max_envelope_bytes)
    await holder.acquire(history_n=1)
    assert most in map(str, kept.commands[-1].args)
    await holder.bury("why", None, ())
    assert most in map(str, kept.commands[-1].args)
